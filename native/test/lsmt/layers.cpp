#include "test/lsmt/layers.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "test/sha256.h"

namespace varve::test {

std::string fixture_path(const std::string& name) { return VARVE_FIXTURES "/" + name; }

Bytes fixture(const std::string& name) {
  std::ifstream file(fixture_path(name), std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::unique_ptr<lsmt::ReadOnlyStack> stack_of(const std::vector<Bytes>& layers) {
  std::vector<lsmt::ReadOnlyLayer> opened;
  for (const Bytes& layer : layers) opened.push_back(open_layer(layer));
  return std::make_unique<lsmt::ReadOnlyStack>(std::move(opened), "stack");
}

Bytes read_all(const io::File& disk) {
  Bytes bytes(disk.size());
  EXPECT_EQ(disk.read(bytes, 0), 0);
  return bytes;
}

void expect_content(const io::File& disk, const std::string& expected_json) {
  const Bytes text = fixture(expected_json);
  const auto* begin = reinterpret_cast<const char*>(text.data());
  const auto expected = nlohmann::json::parse(begin, begin + text.size());
  ASSERT_EQ(disk.size(), expected.at("virtualSize").get<std::uint64_t>());
  EXPECT_EQ(sha256(read_all(disk)), expected.at("sha256").get<std::string>());
  for (const auto& range : expected.at("ranges")) {
    Bytes bytes(range.at("length").get<std::size_t>());
    const auto offset = range.at("offset").get<std::uint64_t>();
    ASSERT_EQ(disk.read(bytes, offset), 0);
    EXPECT_EQ(sha256(bytes), range.at("sha256").get<std::string>()) << "at " << offset;
  }
}

}  // namespace varve::test
