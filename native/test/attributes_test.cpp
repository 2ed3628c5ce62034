// Directories, links and files as the kernel wants them made: one call each, and what is done
// already is no failure.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "helper/failure.h"
#include "helper/operations.h"
#include "syscalls/unique_fd.h"
#include "test/temporary_directory.h"

namespace varve::test {

using nlohmann::json;

class AttributesTest : public TemporaryDirectory {
 protected:
  [[nodiscard]] json ask(const std::string& operation, const std::string& name,
                         const json& more = json::object()) const {
    json request = {{"id", 1}, {"operation", operation}, {"path", at(name)}};
    request.update(more);
    return json::parse(answer(request.dump(), false, [] {}));
  }

  [[nodiscard]] json value(const std::string& operation, const std::string& name,
                           const json& more = json::object()) const {
    const json reply = ask(operation, name, more);
    EXPECT_EQ(reply["ok"], true) << reply;
    return reply["value"];
  }

  [[nodiscard]] std::string code(const std::string& operation, const std::string& name,
                                 const json& more = json::object()) const {
    return ask(operation, name, more).value("code", "none");
  }
};

TEST_F(AttributesTest, DirectoriesAreMadeAndRemovedOneAtATime) {
  EXPECT_EQ(value("make-directory", "a"), json({{"made", true}}));
  EXPECT_EQ(value("make-directory", "a"), json({{"made", false}}));
  EXPECT_EQ(code("make-directory", "b/c"), "ENOENT");
  EXPECT_EQ(value("make-directory", "a/b"), json({{"made", true}}));
  EXPECT_EQ(code("remove-directory", "a"), "ENOTEMPTY");
  EXPECT_EQ(value("remove-directory", "a/b"), json({{"removed", true}}));
  EXPECT_EQ(value("remove-directory", "a/b"), json({{"removed", false}}));
}

TEST_F(AttributesTest, LinksAreMadeToldAndRemoved) {
  make_directory("folder/inner");
  const json target = {{"target", at("elsewhere")}};
  EXPECT_EQ(value("make-link", "folder/link", target), json({{"made", true}}));
  EXPECT_EQ(value("make-link", "folder/link", target), json({{"made", false}}));
  const json inner = {{"name", "inner"}, {"target", nullptr}};
  const json link = {{"name", "link"}, {"target", at("elsewhere")}};
  EXPECT_EQ(value("list-directory", "folder")["entries"], json({inner, link}));
  EXPECT_EQ(value("remove-link", "folder/link"), json({{"removed", true}}));
  EXPECT_EQ(value("remove-link", "folder/link"), json({{"removed", false}}));
  EXPECT_EQ(code("remove-link", "folder/inner"), "EISDIR");
  EXPECT_EQ(code("list-directory", "absent"), "ENOENT");
}

TEST_F(AttributesTest, FilesAreWrittenAsTheyAreAndReadWhole) {
  EXPECT_EQ(code("write-attribute", "file", {{"text", "1"}}), "ENOENT");
  write_file("file", std::string("a\0\xff", 3));
  EXPECT_EQ(value("read-attribute", "file")["text"], std::string("a\0\\xFF", 6));
  EXPECT_EQ(value("write-attribute", "file", {{"text", "new"}}), json::object());
  EXPECT_EQ(value("read-attribute", "file")["text"], "new");
  EXPECT_EQ(code("write-attribute", "file", {{"text", ""}}), "EINVAL");
  ASSERT_EQ(::symlink(at("file").c_str(), at("link").c_str()), 0);
  EXPECT_EQ(code("write-attribute", "link", {{"text", "1"}}), "ELOOP");
}

TEST_F(AttributesTest, WhoHasAFileOpenIsFound) {
  write_file("file");
  EXPECT_EQ(value("file-users", "file")["users"], json::array());
  const UniqueFd open(::open(at("file").c_str(), O_RDONLY | O_CLOEXEC));
  const json users = value("file-users", "file")["users"];
  ASSERT_EQ(users.size(), 1U);
  const std::string process = "process " + std::to_string(::getpid()) + " (";
  EXPECT_EQ(users[0].get<std::string>().rfind(process, 0), 0U) << users;
}

TEST_F(AttributesTest, OnlyNodesOfBlockDevicesHaveTheNumberOfOne) {
  write_file("file");
  EXPECT_EQ(code("device-number", "file"), "ENOTBLK");
  EXPECT_EQ(code("device-number", "absent"), "ENOENT");
  EXPECT_EQ(code("device-users", "file", {{"major", 1}, {"minor", "x"}}), "EINVAL");
  // Nobody has a device of a number that no driver has.
  const json nobody = {{"major", 4000}, {"minor", 77}};
  EXPECT_EQ(value("device-users", "file", nobody)["users"], json::array());
}

}  // namespace varve::test
