#include "test/layer_fixtures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>

namespace varve::test {

std::string fixture(const std::string& name) { return std::string(VARVE_FIXTURES) + "/" + name; }

std::vector<std::byte> read_all(const std::string& path) {
  const std::unique_ptr<io::File> file = io::open_file(path);
  return read_all(*file);
}

std::vector<std::byte> read_all(const io::File& file) {
  std::vector<std::byte> content(file.size());
  EXPECT_EQ(file.read(content, 0), 0) << file.name();
  return content;
}

std::vector<std::byte> some_content(std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> content;
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

std::vector<std::byte> noise(std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> content(length);
  std::generate(content.begin(), content.end(), [&] { return static_cast<std::byte>(random()); });
  return content;
}

}  // namespace varve::test
