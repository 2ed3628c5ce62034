#include "test/flat_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "io/bytes.h"

namespace varve::test {

std::vector<std::byte> flatten_layer(std::span<const std::byte> layer) {
  constexpr std::size_t kHeader = 4096;
  constexpr std::uint64_t kSector = 512;
  if (layer.size() < 2 * kHeader || std::memcmp(layer.data(), "LSMT", 4) != 0) {
    ADD_FAILURE() << "is no layer";
    return {};
  }
  const std::byte* trailer = layer.data() + layer.size() - kHeader;
  const auto index = io::load<std::uint64_t>(trailer + 32);
  const auto count = io::load<std::uint64_t>(trailer + 40);
  std::vector<std::byte> content(io::load<std::uint64_t>(trailer + 48));
  for (std::uint64_t entry = 0; entry < count; ++entry) {
    const std::byte* at = layer.data() + index + entry * 16;
    const auto where = io::load<std::uint64_t>(at);
    const auto from = io::load<std::uint64_t>(at + 8);
    const std::uint64_t length = (where >> 50) * kSector;
    const bool is_zero = (from >> 55 & 1) != 0;
    if (length == 0 || is_zero) continue;
    const std::uint64_t source = (from & ((std::uint64_t{1} << 55) - 1)) * kSector;
    const std::uint64_t target = (where & ((std::uint64_t{1} << 50) - 1)) * kSector;
    if (!io::is_within(source, length, layer.size()) ||
        !io::is_within(target, length, content.size())) {
      ADD_FAILURE() << "entry " << entry << " reaches outside";
      return {};
    }
    std::memcpy(content.data() + target, layer.data() + source, length);
  }
  return content;
}

}  // namespace varve::test
