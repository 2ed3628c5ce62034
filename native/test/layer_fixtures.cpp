#include "test/layer_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

namespace varve::test {

std::string fixture_path(const std::string& name) { return VARVE_FIXTURES "/" + name; }

Bytes fixture(const std::string& name) { return read_all(fixture_path(name)); }

Bytes read_all(const std::string& path) {
  const std::unique_ptr<io::File> file = io::open_file(path);
  return read_all(*file);
}

Bytes read_all(const io::File& file) {
  Bytes content(file.size());
  EXPECT_EQ(file.read(content, 0), 0) << file.name();
  return content;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return nlohmann::json::parse(file);
}

std::string sha256_of(const io::File& disk, std::uint64_t offset, std::uint64_t length) {
  Sha256 sum;
  Bytes bytes(std::size_t{1} << 20);
  while (length > 0) {
    const std::size_t step = std::min<std::uint64_t>(length, bytes.size());
    const int error = disk.read({bytes.data(), step}, offset);
    EXPECT_EQ(error, 0) << "at " << offset;
    if (error != 0) return "";
    sum.add({bytes.data(), step});
    offset += step;
    length -= step;
  }
  return sum.digest();
}

void expect_content(const io::File& disk, const nlohmann::json& expected) {
  ASSERT_EQ(disk.size(), expected.at("virtualSize").get<std::uint64_t>());
  for (const nlohmann::json& range : expected.at("ranges")) {
    const auto offset = range.at("offset").get<std::uint64_t>();
    EXPECT_EQ(sha256_of(disk, offset, range.at("length").get<std::uint64_t>()),
              range.at("sha256").get<std::string>())
        << "at " << offset;
  }
  if (expected.at("sha256").is_null()) return;
  EXPECT_EQ(sha256_of(disk, 0, disk.size()), expected.at("sha256").get<std::string>());
}

Bytes some_content(std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes content;
  content.reserve(length + 64);
  while (content.size() < length) {
    const std::uint64_t word = random();
    const std::size_t count = 4 + word % 24;
    // Repeats something near by or brings something new, in turn.
    if (content.size() > 64 && (word >> 32) % 2 == 0) {
      const std::size_t from =
          content.size() - 64 - (word >> 40) % std::min<std::size_t>(content.size() - 64, 2048);
      for (std::size_t at = 0; at < count; ++at) content.push_back(content[from + at]);
    } else {
      for (std::size_t at = 0; at < count; ++at) {
        content.push_back(static_cast<std::byte>('a' + random() % 40));
      }
    }
  }
  content.resize(length);
  return content;
}

Bytes noise(std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes content(length);
  std::generate(content.begin(), content.end(), [&] { return static_cast<std::byte>(random()); });
  return content;
}

}  // namespace varve::test
