#include "crc32c/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "test/layer_fixtures.h"

namespace varve::test {

namespace {

using crc32c::Way;

constexpr Way kWays[] = {Way::table, Way::sse42, Way::avx512};

// By its definition, a bit at a time.
std::uint32_t by_definition(std::uint32_t crc, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
  }
  return crc;
}

std::span<const std::byte> bytes_of(const char* text) {
  return std::as_bytes(std::span(text, std::strlen(text)));
}

TEST(Crc32cTest, IsTheBareRegister) {
  for (const Way way : kWays) {
    if (!crc32c::is_supported(way)) continue;
    EXPECT_EQ(crc32c::update_by(way, 0, bytes_of("123456789")), 0x58E3FA20U) << name_of(way);
    // With the usual inversions it is the well-known sum.
    EXPECT_EQ(~crc32c::update_by(way, ~0U, bytes_of("123456789")), 0xE3069283U) << name_of(way);
  }
  EXPECT_EQ(crc32c::update(100007, {}), 100007U);
}

TEST(Crc32cTest, EveryWayGivesTheSameAtEveryLengthAndAlignment) {
  constexpr std::size_t kLengthMax = 1600;
  const std::vector<std::byte> data = noise(kLengthMax + 64, 1);
  for (std::size_t length = 0; length <= kLengthMax; ++length) {
    const std::size_t shift = length * 7 % 64;
    const auto bytes = std::span(data).subspan(shift, length);
    const auto start = static_cast<std::uint32_t>(0x9E3779B9U * length);
    const std::uint32_t expected = by_definition(start, bytes);
    for (const Way way : kWays) {
      if (!crc32c::is_supported(way)) continue;
      ASSERT_EQ(crc32c::update_by(way, start, bytes), expected)
          << name_of(way) << ", " << length << " bytes from " << shift;
    }
  }
  for (std::size_t shift = 0; shift < 64; ++shift) {
    for (const std::size_t length : {63U, 255U, 256U, 391U, 1535U, 1537U}) {
      const auto bytes = std::span(data).subspan(shift, length);
      const std::uint32_t expected = by_definition(100007, bytes);
      for (const Way way : kWays) {
        if (!crc32c::is_supported(way)) continue;
        ASSERT_EQ(crc32c::update_by(way, 100007, bytes), expected)
            << name_of(way) << ", " << length << " bytes from " << shift;
      }
    }
  }
}

TEST(Crc32cTest, EveryWayGivesTheSameForLongData) {
  const std::vector<std::byte> data = noise(200'001, 2);
  for (const std::size_t length : {4096U, 6143U, 6144U, 6145U, 65536U, 65809U, 200'000U}) {
    const auto bytes = std::span(data).subspan(1, length);
    const std::uint32_t expected = by_definition(1, bytes);
    for (const Way way : kWays) {
      if (!crc32c::is_supported(way)) continue;
      EXPECT_EQ(crc32c::update_by(way, 1, bytes), expected) << name_of(way) << ", " << length;
    }
  }
}

TEST(Crc32cTest, GoesOnWhereItStopped) {
  const std::vector<std::byte> data = noise(5000, 3);
  const std::uint32_t whole = crc32c::update(7, data);
  for (std::size_t cut = 0; cut <= data.size(); cut += 77) {
    const std::uint32_t first = crc32c::update(7, std::span(data).first(cut));
    ASSERT_EQ(crc32c::update(first, std::span(data).subspan(cut)), whole) << cut;
  }
}

}  // namespace

}  // namespace varve::test
