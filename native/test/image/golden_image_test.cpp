// Golden images read byte for byte as the recordings say, and damaged ones never read wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "test/image/fixture_image.h"

namespace varve::test {

namespace {

using nlohmann::json;

// Every configuration there is, such as "zfile/lz4-4k.config.v1.json".
std::vector<std::string> configurations() {
  std::vector<std::string> found;
  for (const auto& folder : std::filesystem::directory_iterator(fixture_path(""))) {
    if (!folder.is_directory()) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with("config.v1.json")) continue;
      found.push_back(folder.path().filename().string() + "/" + name);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class GoldenImage : public ImageTestCase, public ::testing::WithParamInterface<std::string> {};

TEST_P(GoldenImage, ReadsAsItsDescriptionSays) {
  const std::size_t slash = GetParam().find('/');
  const std::string folder = copy_fixture(GetParam().substr(0, slash));
  const std::string config = folder + GetParam().substr(slash);
  std::string description = config;
  description.replace(description.rfind("config.v1.json"), std::string::npos, "expected.json");
  const std::shared_ptr<image::Image> image = open(config);
  expect_content(image->disk(), read_json(description));
  EXPECT_EQ(image->size(), image->disk().size());
  EXPECT_EQ(image->is_writable(), read_json(config).contains("upper"));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenImage, ::testing::ValuesIn(configurations()),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(GoldenImages, AreAllThere) { EXPECT_EQ(configurations().size(), 36U); }

// Forgets what it is told.
class Deaf final : public io::DamageListener {
 public:
  void damaged(const io::Damage& /*damage*/) noexcept override { ++count; }
  std::atomic<unsigned> count = 0;
};

Bytes apply(Bytes bytes, const json& recipe) {
  for (const json& edit : recipe.value("edits", json::array())) {
    const auto hex = edit.at("hex").get<std::string>();
    auto place = bytes.begin() + edit.at("offset").get<std::ptrdiff_t>();
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
      *place++ = static_cast<std::byte>(std::stoul(hex.substr(at, 2), nullptr, 16));
    }
  }
  if (recipe.contains("truncate")) bytes.resize(recipe.at("truncate").get<std::size_t>());
  if (recipe.contains("append")) {
    bytes.resize(bytes.size() + recipe.at("append").get<std::size_t>());
  }
  return bytes;
}

using DamagedImage = ImageTestCase;

TEST_F(DamagedImage, IsRefusedWhereUpstreamRefusesItAndNeverReadsWrong) {
  unsigned refused = 0;
  unsigned same = 0;
  const json cases = read_json(fixture_path("bad/cases.json"));
  for (const json& recipe : cases) {
    const auto base = recipe.at("base").get<std::string>();
    const auto upstream = recipe.at("upstream").get<std::string>();
    SCOPED_TRACE(base + ": " + recipe.at("name").get<std::string>());
    const Bytes sound = read_all(fixture_path(base));
    write_bytes(at("sound"), sound);
    write_bytes(at("layer"), apply(sound, recipe));
    const auto intact = open_text(config_of({"sound"}));
    Deaf listener;
    std::string refusal;
    for (const bool maps_files : {false, true}) {
      image::OpenOptions options;
      options.damage_listener = &listener;
      options.maps_files = maps_files;
      bool is_same = false;
      refusal = refusal_of([&] {
        const auto image = open_text(config_of({"layer"}), options);
        Bytes content(image->size());
        if (image->read(content, 0) != 0) throw io::FormatError(EIO, "the read fails");
        Bytes expected(intact->size());
        ASSERT_EQ(intact->read(expected, 0), 0);
        is_same = content == expected;
      });
      // Nothing checks the content of uncompressed layers, nor of ZFiles without sums.
      if (upstream == "different content") continue;
      if (upstream == "same") {
        EXPECT_TRUE(is_same || !refusal.empty());
      } else {
        EXPECT_NE(refusal, "");
      }
      // Only a stack can tell that none of its layers says a size.
      const bool names_no_file = recipe.at("name") == "trailer-vsize-zero";
      if (refusal != "the read fails" && !refusal.empty()) {
        EXPECT_TRUE(refusal.starts_with("config: lowers" +
                                        (names_no_file ? "" : "[0]: " + at("layer"))))
            << refusal;
      }
    }
    (refusal.empty() ? same : refused) += 1;
  }
  EXPECT_EQ(refused + same, 60U);
  EXPECT_GE(refused, 50U);
}

}  // namespace

}  // namespace varve::test
