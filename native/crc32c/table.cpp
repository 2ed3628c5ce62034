// Eight bytes a step through eight tables: for processors without the instruction.
#include <array>
#include <bit>
#include <cstring>

#include "crc32c/ways.h"

namespace varve::crc32c {

namespace {

static_assert(std::endian::native == std::endian::little, "words are taken as they lie in memory");

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// Table n: what a byte does to the register when n more bytes follow it.
constexpr Tables make_tables() {
  Tables tables = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = value;
  }
  for (std::size_t table = 1; table < tables.size(); ++table) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[table - 1][byte];
      tables[table][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t update_by_table(std::uint32_t crc, const std::byte* bytes,
                              std::size_t count) noexcept {
  for (; count >= 8; count -= 8, bytes += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t byte = 0; byte < 8; ++byte) {
      crc ^= kTables[7 - byte][(word >> (8 * byte)) & 0xFF];
    }
  }
  for (; count > 0; --count, ++bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint32_t>(*bytes)) & 0xFF];
  }
  return crc;
}

}  // namespace varve::crc32c
