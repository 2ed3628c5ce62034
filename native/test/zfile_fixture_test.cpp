// Recorded ZFiles read as the recordings say, and damaged ones never read wrong.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tar/layer_entry.h"
#include "test/flat_layer.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "zfile/reader.h"

namespace varve::test {

namespace {

using nlohmann::json;

std::span<const std::byte> range_of(std::span<const std::byte> content, const json& range) {
  return content.subspan(range.at("offset").get<std::size_t>(),
                         range.at("length").get<std::size_t>());
}

// Opens whatever wraps a layer and checks its content, as a whole and by its ranges.
void expect_layer(const std::string& config, const json& expected) {
  SCOPED_TRACE(config);
  const std::string folder = config.substr(0, config.find('/') + 1);
  const json lowers = read_json(fixture_path(config)).at("lowers");
  ASSERT_EQ(lowers.size(), 1U);
  const std::string name = lowers.at(0).at("file").get<std::string>();
  Listener listener;
  std::unique_ptr<const io::File> file = tar::unwrap(io::open_file(fixture_path(folder + name)));
  if (zfile::is_zfile(*file)) file = std::make_unique<zfile::ZFile>(std::move(file), &listener);
  const std::vector<std::byte> content = flatten_layer(read_all(*file));
  EXPECT_TRUE(listener.damages.empty());
  ASSERT_EQ(content.size(), expected.at("virtualSize").get<std::size_t>());
  EXPECT_EQ(sha256(content), expected.at("sha256").get<std::string>());
  for (const json& range : expected.at("ranges")) {
    EXPECT_EQ(sha256(range_of(content, range)), range.at("sha256").get<std::string>());
  }
}

std::vector<std::string> configurations() {
  std::vector<std::string> found = {"zfile-noise-64k/config.v1.json"};
  for (const std::string folder : {"zfile", "tar"}) {
    for (const auto& entry : std::filesystem::directory_iterator(fixture_path(folder))) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".config.v1.json")) found.push_back(folder + "/" + name);
    }
  }
  return found;
}

TEST(ZFileFixtureTest, EveryRecordedLayerReadsAsItsDescriptionSays) {
  const std::vector<std::string> configs = configurations();
  EXPECT_EQ(configs.size(), 15U);
  for (const std::string& config : configs) {
    std::string description = config;
    description.replace(description.find("config.v1.json"), std::string::npos, "expected.json");
    expect_layer(config, read_json(fixture_path(description)));
  }
}

TEST(ZFileFixtureTest, EveryRecordedPlainFileReadsAsItsDescriptionSays) {
  const json files = read_json(fixture_path("zfile-plain/expected.json"));
  EXPECT_EQ(files.size(), 6U);
  for (const json& described : files) {
    const std::string name = described.at("file").get<std::string>();
    SCOPED_TRACE(name);
    const zfile::ZFile file(io::open_file(fixture_path("zfile-plain/" + name)), nullptr);
    EXPECT_EQ(file.size(), described.at("originalSize").get<std::uint64_t>());
    EXPECT_EQ(file.header().block_size, described.at("blockSize").get<std::uint32_t>());
    EXPECT_EQ(name_of(static_cast<zfile::Algorithm>(file.header().algorithm)),
              described.at("algorithm").get<std::string>());
    EXPECT_EQ(sha256(read_all(file)), described.at("originalSha256").get<std::string>());
  }
}

enum class Outcome { refused, same, different };

Outcome read_damaged(std::vector<std::byte> bytes, const std::vector<std::byte>& sound) {
  try {
    auto source = std::make_unique<MemoryFile>(std::move(bytes));
    // Without a ZFile's magic it would be read as a bare layer, which it is not.
    if (!zfile::is_zfile(*source)) return Outcome::refused;
    const zfile::ZFile file(std::move(source), nullptr);
    std::vector<std::byte> content(file.size());
    if (file.read(content, 0) != 0) return Outcome::refused;
    return content == sound ? Outcome::same : Outcome::different;
  } catch (const io::FormatError&) {
    return Outcome::refused;
  }
}

std::vector<std::byte> unhex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(text.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::byte> apply(std::vector<std::byte> bytes, const json& recipe) {
  for (const json& edit : recipe.value("edits", json::array())) {
    const std::vector<std::byte> written = unhex(edit.at("hex").get<std::string>());
    std::copy(written.begin(), written.end(),
              bytes.begin() + edit.at("offset").get<std::ptrdiff_t>());
  }
  if (recipe.contains("truncate")) bytes.resize(recipe.at("truncate").get<std::size_t>());
  if (recipe.contains("append"))
    bytes.resize(bytes.size() + recipe.at("append").get<std::size_t>());
  return bytes;
}

TEST(ZFileFixtureTest, DamagedCopiesAreRefusedOrReadTheSame) {
  int tried = 0;
  for (const json& recipe : read_json(fixture_path("bad/cases.json"))) {
    const std::string base = recipe.at("base").get<std::string>();
    const std::string name = recipe.at("name").get<std::string>();
    if (!base.starts_with("zfile/")) continue;
    SCOPED_TRACE(base + ": " + name);
    const std::vector<std::byte> bytes = fixture(base);
    const std::vector<std::byte> sound =
        read_all(zfile::ZFile(std::make_unique<MemoryFile>(bytes), nullptr));
    const Outcome outcome = read_damaged(apply(bytes, recipe), sound);
    const std::string upstream = recipe.at("upstream").get<std::string>();
    const bool is_unchecked =
        base.find("nosum") != std::string::npos && name.ends_with("block-byte");
    if (upstream == "same") {
      EXPECT_NE(outcome, Outcome::different);
    } else if (!is_unchecked) {
      EXPECT_EQ(outcome, Outcome::refused);
    }
    tried += 1;
  }
  EXPECT_EQ(tried, 45);
}

}  // namespace

}  // namespace varve::test
