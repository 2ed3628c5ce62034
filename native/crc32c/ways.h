// The ways to compute the register, each in its own file, and the algebra that two of them need.
//
// A register is a polynomial over GF(2) of degree below 32 whose coefficients are mirrored: bit 31
// is that of x^0. Appending a zero bit multiplies it by x modulo the generator.
#pragma once

#include <cstddef>
#include <cstdint>

namespace varve::crc32c {

inline constexpr std::uint32_t kPolynomial = 0x82F63B78;

// x^power modulo the generator.
constexpr std::uint32_t power_of_x(std::uint64_t power) noexcept {
  std::uint32_t value = 0x80000000;
  for (std::uint64_t step = 0; step < power; ++step) {
    value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
  }
  return value;
}

std::uint32_t update_by_table(std::uint32_t crc, const std::byte* bytes,
                              std::size_t count) noexcept;

#if defined(__x86_64__)
#define VARVE_CRC32C_X86 1
std::uint32_t update_by_sse42(std::uint32_t crc, const std::byte* bytes,
                              std::size_t count) noexcept;
std::uint32_t update_by_avx512(std::uint32_t crc, const std::byte* bytes,
                               std::size_t count) noexcept;
#endif

}  // namespace varve::crc32c
