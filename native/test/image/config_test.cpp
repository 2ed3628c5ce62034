// Configurations of images: every known key works, is refused by its name, or has a note.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "image/image_config.h"
#include "test/refusal.h"

namespace varve::test {

namespace {

using image::ImageConfig;

ImageConfig parse(const std::string& text) { return image::parse_image_config(text, "config"); }

std::string refusal_of(const std::string& text) {
  return test::refusal_of([&text] { static_cast<void>(parse(text)); });
}

std::string with_lowers(std::size_t count, const std::string& more = "") {
  std::string text = R"({"lowers": [)";
  for (std::size_t at = 0; at < count; ++at) text += at == 0 ? "{}" : ",{}";
  return text + "]" + more + "}";
}

TEST(ImageConfig, HoldsWhatTheFileSays) {
  const ImageConfig config = parse(R"({
    "repoBlobUrl": "https://reg.example/v2/ns/app/blobs",
    "lowers": [{"file": "/base"},
               {"digest": "sha256:aa11", "size": 12800, "dir": "/var/lib/1", "targetFile": ""}],
    "upper": {"index": "/2/index", "data": "/2/data", "target": "", "vsize": 64},
    "resultFile": "/2/result", "accelerationLayer": false, "recordTracePath": "",
    "download": {"enable": false, "delay": 1, "delayExtra": -2, "maxMBps": -3, "tryCnt": 4,
                 "blockSize": 65536},
    "something": {"else": [null, {"lowers": 1}]}})");
  EXPECT_EQ(config.name, "config");
  EXPECT_EQ(config.repository_url, "https://reg.example/v2/ns/app/blobs");
  ASSERT_EQ(config.lowers.size(), 2U);
  EXPECT_EQ(config.lowers[0].file, "/base");
  EXPECT_EQ(config.lowers[1].directory, "/var/lib/1");
  EXPECT_EQ(config.lowers[1].digest, "sha256:aa11");
  EXPECT_EQ(config.lowers[1].size, 12800U);
  ASSERT_TRUE(config.upper);
  EXPECT_EQ(config.upper->data, "/2/data");
  EXPECT_EQ(config.upper->index, "/2/index");
  EXPECT_EQ(config.result_file, "/2/result");
  ASSERT_TRUE(config.download);
  EXPECT_EQ(config.download->delay_seconds, 1);
  EXPECT_EQ(config.download->delay_extra_seconds, 30);
  EXPECT_EQ(config.download->rate_max_mb, -3);
  EXPECT_EQ(config.download->attempts, 4);
  EXPECT_EQ(config.download->block_bytes, 65536U);
  EXPECT_TRUE(config.notes.empty());
}

TEST(ImageConfig, HasTheDefaultsOfOverlaybd) {
  const ImageConfig config = parse(R"({"lowers": [{}], "upper": {}, "download": {}})");
  EXPECT_FALSE(config.upper);
  EXPECT_EQ(config.lowers[0].file + config.lowers[0].directory + config.lowers[0].digest, "");
  EXPECT_EQ(config.lowers[0].size, 0U);
  EXPECT_EQ(config.repository_url + config.result_file, "");
  ASSERT_TRUE(config.download);
  EXPECT_FALSE(config.download->is_enabled);
  EXPECT_EQ(config.download->delay_seconds, 300);
  EXPECT_EQ(config.download->delay_extra_seconds, 30);
  EXPECT_EQ(config.download->rate_max_mb, 100);
  EXPECT_EQ(config.download->attempts, 5);
  EXPECT_EQ(config.download->block_bytes, 262144U);
  EXPECT_FALSE(parse(R"({"lowers": [{}]})").download);
}

TEST(ImageConfig, IsRefusedByTheNameOfTheKey) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "config: the document: must be an object, is an array"},
      {R"(null)", "config: the document: must be an object, is null"},
      {R"({"lowers": {}})", "config: lowers: must be an array, is an object"},
      {R"({"lowers": null})", "config: lowers: must be an array, is null"},
      {R"({"lowers": ["x"]})", "config: lowers[0]: must be an object, is text"},
      {R"({"lowers": [{}, {"file": 1}]})", "config: lowers[1].file: must be text, is a number"},
      {R"({"lowers": [{"dir": null}]})", "config: lowers[0].dir: must be text, is null"},
      {R"({"lowers": [{"digest": true}]})", "config: lowers[0].digest: must be text"},
      {R"({"lowers": [{"digest": "../x"}]})", "config: lowers[0].digest: is no digest"},
      {R"({"lowers": [{"digest": "sha256:"}]})", "config: lowers[0].digest: is no digest"},
      {R"({"lowers": [{"size": "1"}]})", "config: lowers[0].size: must be a whole number, is text"},
      {R"({"lowers": [{"size": -1}]})", "config: lowers[0].size: must not be negative"},
      {R"({"lowers": [{"size": 1.5}]})", "config: lowers[0].size: must be a whole number"},
      {R"({"lowers": [{"size": 99999999999999999999}]})", "config: lowers[0].size: must be"},
      {R"({"lowers": [{"file": "a\u0000b"}]})", "config: lowers[0].file: contains a zero byte"},
      {R"({"lowers": [{"targetFile": "/x"}]})", "config: lowers[0].targetFile: layers that point"},
      {R"({"lowers": [{"targetDigest": "/x"}]})", "config: lowers[0].targetDigest: layers that"},
      {R"({"lowers": [{"gzipIndex": "/x"}]})", "config: lowers[0].gzipIndex: layers that point"},
      {R"({"lowers": [{"gzipIndex": 7}]})", "config: lowers[0].gzipIndex: must be text"},
      {R"({"upper": []})", "config: upper: must be an object, is an array"},
      {R"({"upper": {"data": "/d"}})", "config: upper.index: is missing"},
      {R"({"upper": {"index": "/d"}})", "config: upper.data: is missing"},
      {R"({"upper": {"data": "a", "index": "b", "target": "c"}})", "config: upper.target: layers"},
      {R"({"upper": {"data": "a", "index": "b", "gzipIndex": "c"}})", "config: upper.gzipIndex: l"},
      {R"({})", "config: lowers: there is no layer"},
      {R"({"lowers": [], "upper": {}})", "config: lowers: there is no layer"},
      {R"({"lowers": [{}], "repoBlobUrl": 1})", "config: repoBlobUrl: must be text"},
      {R"({"lowers": [{}], "resultFile": 1})", "config: resultFile: must be text"},
      {R"({"lowers": [{}], "accelerationLayer": "yes"})", "config: accelerationLayer: must be"},
      {R"({"accelerationLayer": true})", "config: accelerationLayer: there is no lower layer"},
      {R"({"lowers": [{}], "accelerationLayer": true})", "config: lowers: there is no layer"},
      {R"({"lowers": [{}], "recordTracePath": "/t"})", "config: recordTracePath: recording"},
      {R"({"lowers": [{},{}], "recordTracePath": "/t", "accelerationLayer": true})",
       "config: recordTracePath: cannot be there together"},
      {R"({"lowers": [{}], "download": true})", "config: download: must be an object"},
      {R"({"lowers": [{}], "download": {"enable": 1}})", "config: download.enable: must be true"},
      {R"({"lowers": [{}], "download": {"delay": 2147483648}})", "config: download.delay: does"},
      {R"({"lowers": [{}], "download": {"tryCnt": -2147483649}})", "config: download.tryCnt: does"},
      {R"({"lowers": [{}], "download": {"blockSize": 4294967296}})",
       "config: download.blockSize: is larger"},
      {R"({"lowers": [{}], "lowers": []})", "config: lowers: appears twice"},
      {R"({"lowers": [{"file": "a", "file": "b"}]})", "config: file: appears twice"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_TRUE(refusal_of(text).starts_with(expected)) << text << "\n" << refusal_of(text);
  }
}

TEST(ImageConfig, MustBeJson) {
  const std::string cases[] = {"", "{", R"({"lowers": [{}],})", R"({"lowers": [{}]} x)",
                               "// x\n{}", "{\"lowers\": [{\"file\": \"\xff\"}]}",
                               R"({"lowers": [{"size": 1e400}]})"};
  for (const std::string& text : cases) {
    EXPECT_TRUE(refusal_of(text).starts_with("config: is not JSON: ")) << text << refusal_of(text);
  }
}

TEST(ImageConfig, HasBounds) {
  EXPECT_EQ(refusal_of(with_lowers(255)), "");
  EXPECT_EQ(refusal_of(with_lowers(256)),
            "config: lowers: has 256 layers, a stack has at most 255");
  EXPECT_EQ(refusal_of(with_lowers(256, R"(, "accelerationLayer": true)")), "");
  const std::string deep(100'000, '[');
  EXPECT_EQ(refusal_of(R"({"lowers": [{}], "x": )" + deep), "config: is nested too deeply");
  const std::string long_text(5000, 'x');
  EXPECT_EQ(refusal_of(R"({"lowers": [{"file": ")" + long_text + R"("}]})"),
            "config: lowers[0].file: has 5000 bytes, more than 4096");
  const std::string padding(image::kConfigBytesMax, ' ');
  EXPECT_NE(refusal_of(with_lowers(1) + padding).find("more than a configuration"),
            std::string::npos);
}

TEST(ImageConfig, TellsWhatDoesNotDoAllThatItSays) {
  const ImageConfig config =
      parse(with_lowers(3, R"(, "accelerationLayer": true, "download": {"enable": true})"));
  EXPECT_EQ(config.lowers.size(), 2U);
  ASSERT_EQ(config.notes.size(), 2U);
  EXPECT_EQ(config.notes[0].key, "accelerationLayer");
  EXPECT_EQ(config.notes[1].key, "download.enable");
}

// Whoever wrote it waits for that file. What is no JSON has none, as in overlaybd.
TEST(ImageConfig, SaysWhereTheOutcomeGoesWhenItIsRefused) {
  try {
    parse(R"({"resultFile": "/r", "lowers": [{"targetFile": "/x"}],
              "upper": {"data": "/d", "index": "/i"}})");
    FAIL();
  } catch (const image::ConfigError& error) {
    EXPECT_EQ(error.result_file(), "/r");
    ASSERT_TRUE(error.read().upper);
    EXPECT_EQ(error.read().upper->index, "/i");
  }
  try {
    parse(R"({"resultFile": "/r", "lowers": [)");
    FAIL();
  } catch (const image::ConfigError& error) {
    EXPECT_EQ(error.result_file(), "");
  }
}

TEST(ImageConfig, NamesAFileThatCannotBeRead) {
  for (const char* path : {"/nowhere/config.v1.json", "/"}) {
    try {
      image::load_image_config(path);
      FAIL();
    } catch (const image::ConfigError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(path)) << error.what();
    }
  }
}

}  // namespace

}  // namespace varve::test
