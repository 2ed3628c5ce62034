#include <nlohmann/json.hpp>

#include "helper/failure.h"
#include "helper/operations.h"
#include "test/temporary_directory.h"

namespace varve::test {

using nlohmann::json;

class AnswerTest : public TemporaryDirectory {
 protected:
  static json ask(const std::string& line, bool allow_test_operations = false) {
    return json::parse(answer(line, allow_test_operations, [] {}));
  }
};

TEST_F(AnswerTest, MalformedRequestsGetAnErrorReply) {
  const std::string lines[] = {
      "", "x", "[]", "3", "null", "{", "{}", R"({"id":1})", R"({"id":-1,"operation":"syncfs"})",
      R"({"id":"a","operation":"syncfs"})", R"({"id":1,"operation":7})",
      R"({"id":1,"operation":"nothing"})", R"({"id":1,"operation":"disk-usage"})",
      R"({"id":1,"operation":"disk-usage","path":null})",
      R"({"id":1,"operation":"disk-usage","path":""})",
      R"({"id":1,"operation":"disk-usage","path":"relative"})",
      R"({"id":1,"operation":"disk-usage","path":"/a\u0000b"})",
      R"({"id":1,"operation":"remove-tree","path":"/a"})",
      R"({"id":1,"operation":"batch"})", R"({"id":1,"operation":"batch","requests":{}})",
      R"({"id":1,"operation":"mount","type":"bind","source":"/a","target":"/b","options":"ro"})",
      R"({"id":1,"operation":"mount","type":"bind","source":"/a","target":"/b","options":[1]})",
      R"({"id":1,"operation":"unmount","target":"/b","flags":["unknown"]})",
      R"({"id":1,"operation":"sleep","milliseconds":1})", "\xff\xfe",
      "{\"id\":1,\"operation\":\"disk-usage\",\"path\":\"/\xff\"}", std::string(100000, '[')};
  for (const std::string& line : lines) {
    const json reply = ask(line);
    EXPECT_EQ(reply["ok"], false) << line.substr(0, 100);
    EXPECT_EQ(reply["code"], "EINVAL") << line.substr(0, 100);
    EXPECT_EQ(reply["step"], "request") << line.substr(0, 100);
  }
}

TEST_F(AnswerTest, RepliesCarryTheRequestsId) {
  EXPECT_EQ(ask(R"({"id":7,"operation":"nothing"})")["id"], 7);
  EXPECT_EQ(ask("{")["id"], nullptr);
}

TEST_F(AnswerTest, TestOperationsNeedPermission) {
  EXPECT_EQ(ask(R"({"id":1,"operation":"sleep","milliseconds":0})", true)["ok"], true);
  EXPECT_EQ(ask(R"({"id":1,"operation":"sleep","milliseconds":0})", false)["ok"], false);
}

TEST_F(AnswerTest, AFailureNamesStepPathAndCode) {
  const json request = {{"id", 3}, {"operation", "disk-usage"}, {"path", at("absent")}};
  const json reply = ask(request.dump());
  EXPECT_EQ(reply["errno"], ENOENT);
  EXPECT_EQ(reply["code"], "ENOENT");
  EXPECT_EQ(reply["step"], "open");
  EXPECT_EQ(reply["path"], at("absent"));
  EXPECT_EQ(reply["message"], "open " + at("absent") + ": No such file or directory");
}

TEST_F(AnswerTest, OperationsReturnTheirValues) {
  make_directory("tree/a");
  const auto ask_about = [&](const char* operation) {
    const json request = {
        {"id", 1}, {"operation", operation}, {"path", at("tree")}, {"parent", path()}};
    return ask(request.dump());
  };
  EXPECT_EQ(ask_about("disk-usage")["value"]["inodeCount"], 2);
  EXPECT_EQ(ask_about("sync-tree")["value"]["syncedCount"], 2);
  EXPECT_EQ(ask_about("syncfs")["ok"], true);
  EXPECT_EQ(ask_about("remove-tree")["value"]["removedCount"], 2);
  EXPECT_EQ(ask_about("remove-tree")["value"]["removedCount"], 0);
}

TEST_F(AnswerTest, ABatchAnswersEachOfItsRequestsInOrder) {
  make_directory("tree/a");
  const auto remove = [&](const char* name) -> json {
    return {{"operation", "remove-tree"}, {"path", at(name)}, {"parent", path()}};
  };
  const json batch = {{"id", 5},
                      {"operation", "batch"},
                      {"requests",
                       {remove("tree"), remove("../outside"), 7, {{"operation", "batch"}},
                        {{"operation", "disk-usage"}, {"path", path()}}}}};
  const json reply = ask(batch.dump());
  EXPECT_EQ(reply["id"], 5);
  ASSERT_EQ(reply["ok"], true);
  const json& replies = reply["value"]["replies"];
  ASSERT_EQ(replies.size(), 5U);
  EXPECT_EQ(replies[0]["value"]["removedCount"], 2);
  for (const int refused : {1, 2, 3}) EXPECT_EQ(replies[refused]["code"], "EINVAL") << refused;
  EXPECT_EQ(replies[4]["value"]["inodeCount"], 1);
}

TEST(Printable, EscapesOnlyWhatIsNotUtf8) {
  EXPECT_EQ(printable("plain \xc3\xa4 \xf0\x9f\x98\x80"), "plain \xc3\xa4 \xf0\x9f\x98\x80");
  EXPECT_EQ(printable("\xff"), "\\xFF");
  EXPECT_EQ(printable("a\xc3"), "a\\xC3");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xC0\\xAF");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xED\\xA0\\x80");
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
}

TEST(Failures, HaveSymbolicNames) {
  EXPECT_EQ(error_name(EBUSY), "EBUSY");
  EXPECT_EQ(error_name(99999), "E99999");
}

}  // namespace varve::test
