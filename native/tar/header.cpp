#include "tar/header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

namespace varve::tar {

namespace {

struct Field {
  std::size_t offset;
  std::size_t length;
};
constexpr Field kName = {0, 100};
constexpr Field kSize = {124, 12};
constexpr Field kSum = {148, 8};
constexpr std::size_t kType = 156;
constexpr std::size_t kMagic = 257;
constexpr std::size_t kVersion = 263;

std::span<const std::byte> bytes_of(std::span<const std::byte> block, Field field) {
  return block.subspan(field.offset, field.length);
}

bool holds(std::span<const std::byte> block, std::size_t offset, std::string_view text) {
  return std::memcmp(block.data() + offset, text.data(), text.size()) == 0;
}

std::optional<std::uint64_t> parse_base256(std::span<const std::byte> field) noexcept {
  // The marker bit alone: other values of the first byte are negative or beyond 64 bits.
  if (field[0] != std::byte{0x80}) return std::nullopt;
  std::uint64_t value = 0;
  for (const std::byte byte : field.subspan(1)) {
    if (value >> 56 != 0) return std::nullopt;
    value = (value << 8) | static_cast<std::uint64_t>(byte);
  }
  return value;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::span<const std::byte> field) noexcept {
  if (field.empty()) return 0;
  if ((field[0] & std::byte{0x80}) != std::byte{0}) return parse_base256(field);
  const auto is_padding = [](std::byte byte) {
    return byte == std::byte{' '} || byte == std::byte{0};
  };
  const auto first = std::find_if_not(field.begin(), field.end(), is_padding);
  const auto last = std::find_if(first, field.end(), is_padding);
  std::uint64_t value = 0;
  for (auto at = first; at != last; ++at) {
    const auto digit = static_cast<unsigned char>(*at);
    if (digit < '0' || digit > '7' || value >> 61 != 0) return std::nullopt;
    value = (value << 3) | (digit - unsigned{'0'});
  }
  return std::all_of(last, field.end(), is_padding) ? std::optional(value) : std::nullopt;
}

bool has_right_sum(std::span<const std::byte, kBlockSize> block) noexcept {
  const std::optional<std::uint64_t> stored = parse_number(bytes_of(block, kSum));
  if (!stored) return false;
  std::int64_t as_unsigned = 0;
  std::int64_t as_signed = 0;
  for (std::size_t at = 0; at < kBlockSize; ++at) {
    const bool is_sum = at >= kSum.offset && at < kSum.offset + kSum.length;
    const auto value =
        is_sum ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(block[at]);
    as_unsigned += value;
    as_signed += static_cast<signed char>(value);
  }
  return static_cast<std::uint64_t>(as_unsigned) == *stored ||
         (as_signed >= 0 && static_cast<std::uint64_t>(as_signed) == *stored);
}

bool begins_archive(std::span<const std::byte, kBlockSize> block) noexcept {
  return holds(block, kMagic, "ustar") && holds(block, kVersion, "00") && has_right_sum(block);
}

std::optional<Header> parse_header(std::span<const std::byte, kBlockSize> block) {
  const std::optional<std::uint64_t> size = parse_number(bytes_of(block, kSize));
  if (!size) return std::nullopt;
  const char* name = reinterpret_cast<const char*>(block.data()) + kName.offset;
  return Header{std::string(name, ::strnlen(name, kName.length)), static_cast<char>(block[kType]),
                *size};
}

}  // namespace varve::tar
