// Numbers in files: little-endian, at any alignment. And errors as text.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace varve::io {

static_assert(std::endian::native == std::endian::little, "numbers are stored as they are");

template <std::unsigned_integral Number>
[[nodiscard]] Number load(const std::byte* source) noexcept {
  Number value = 0;
  std::memcpy(&value, source, sizeof value);
  return value;
}

template <std::unsigned_integral Number>
void store(std::byte* destination, Number value) noexcept {
  std::memcpy(destination, &value, sizeof value);
}

// Whether `length` bytes from `offset` on lie within `size`; free of overflow.
[[nodiscard]] constexpr bool is_within(std::uint64_t offset, std::uint64_t length,
                                       std::uint64_t size) noexcept {
  return offset <= size && length <= size - offset;
}

// A checksum as messages show it: 0x and eight digits.
std::string hexadecimal(std::uint32_t value);

// What a positive errno means.
std::string error_text(int error);

}  // namespace varve::io
