// The file that tells the outcome of an open, and that it never replaces anything else.
#include "image/result_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "image/upper_lock.h"
#include "test/image/fixture_image.h"

namespace varve::test {

namespace {

namespace fs = std::filesystem;

constexpr const char* kOther = "holds something else than the result of an earlier open, which "
                               "would be lost";

class ResultFile : public ImageTestCase {
 protected:
  // Empty for success.
  [[nodiscard]] std::string write(const std::string& name,
                                  const std::optional<std::string>& failure = {}) const {
    return image::write_result_file(at(name), failure).value_or("");
  }
  [[nodiscard]] std::string obstacle(const std::string& name, const std::string& config) const {
    const image::ImageConfig parsed = image::parse_image_config(config, "config");
    return image::result_file_obstacle(at(name), image::files_of(parsed, path())).value_or("");
  }
  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ifstream file(at(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(ResultFile, SaysSuccessOrWhatFailed) {
  const mode_t mask = ::umask(077);
  EXPECT_EQ(write("result", "a long reason\nin two lines"), "");
  ::umask(mask);
  EXPECT_EQ(text_of("result"), "failed:a long reason in two lines");
  EXPECT_EQ(write("result"), "");
  EXPECT_EQ(text_of("result"), "success");
  EXPECT_EQ(write("result", ""), "");
  EXPECT_EQ(text_of("result"), "failed:");
  struct stat status = {};
  ASSERT_EQ(::stat(at("result").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0644U);
}

TEST_F(ResultFile, IsNotWrittenWhereNoneIsWantedOrPossible) {
  EXPECT_EQ(image::write_result_file("", std::nullopt), std::nullopt);
  EXPECT_EQ(write("none/result"), "No such file or directory");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(write("pipe"), "is not a regular file");
  EXPECT_EQ(write(""), "is not a regular file");
  EXPECT_EQ(image::write_result_file("/dev/null", std::nullopt), "is not a regular file");
}

// Clients make it beforehand, empty, and open again what failed.
TEST_F(ResultFile, ReplacesAnEarlierResultAndNothingElse) {
  for (const char* text : {"", "success", "failed:", "failed:x"}) {
    write_file("result", text);
    EXPECT_EQ(obstacle("result", config_of({"layer"})), "") << text;
    EXPECT_EQ(write("result"), "") << text;
    EXPECT_EQ(text_of("result"), "success");
  }
  for (const char* text : {"s", "success\n", "succes!", "failed", "{}"}) {
    write_file("result", text);
    EXPECT_EQ(obstacle("result", config_of({"layer"})), kOther) << text;
    EXPECT_EQ(write("result", "why"), kOther) << text;
    EXPECT_EQ(text_of("result"), text);
  }
}

TEST_F(ResultFile, IsNoneOfTheImagesFiles) {
  const std::string config =
      R"({"lowers": [{"file": "file"}, {"dir": "dir"}], )" + upper_json() + "}";
  make_directory("dir");
  for (const bool are_there : {false, true}) {
    for (const auto& [name, key] :
         {std::pair{"file", "lowers[0]"}, {"dir/overlaybd.commit", "lowers[1]"},
          {"dir/.commit", "lowers[1]"}, {"dir/overlaybd.sealed", "lowers[1]"},
          {"data", "upper.data"}, {"index", "upper.index"}}) {
      if (are_there) write_file(name, "");
      const std::string expected =
          "is the image's " + std::string(key) + ", which the result would replace";
      EXPECT_EQ(obstacle(name, config), expected);
      fs::create_symlink(at(name), at("link"));
      EXPECT_EQ(obstacle("link", config), expected);
      fs::remove(at("link"));
    }
  }
  fs::create_hard_link(at("index"), at("hard"));
  EXPECT_NE(obstacle("hard", config), "");
  EXPECT_EQ(obstacle("result", config), "");
}

// Which may be empty, as overlaybd leaves it.
TEST_F(ResultFile, IsNoIndexFileThatAnotherDeviceHasOpen) {
  write_file("data", "");
  write_file("index", "");
  {
    const image::UpperLock lock = image::lock_upper(at("data"), at("index"), false);
    EXPECT_EQ(write("index"),
              "is in use as the writable layer of a device, or a command works on it");
    EXPECT_EQ(text_of("index"), "");
  }
  EXPECT_EQ(write("index"), "");
}

}  // namespace

}  // namespace varve::test
