// Numbers in SCSI commands and answers: big-endian, at any alignment.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace varve::scsi {

template <std::unsigned_integral Number>
[[nodiscard]] constexpr Number load(const std::byte* source) noexcept {
  std::uint64_t value = 0;
  for (std::size_t at = 0; at < sizeof(Number); ++at) {
    value = value << 8 | std::to_integer<std::uint64_t>(source[at]);
  }
  return static_cast<Number>(value);
}

template <std::unsigned_integral Number>
constexpr void store(std::byte* destination, Number value) noexcept {
  for (std::size_t at = 0; at < sizeof(Number); ++at) {
    const std::size_t shift = 8 * (sizeof(Number) - 1 - at);
    destination[at] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> shift);
  }
}

}  // namespace varve::scsi
