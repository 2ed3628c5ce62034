// The crc32 instruction takes eight bytes a cycle but answers after three, so three neighbouring
// stretches are computed at once and joined: a register is moved past n bytes by multiplying it
// with x^8n, here by a carry-less multiplication whose result the crc32 instruction reduces.
#include "crc32c/ways.h"

#ifdef VARVE_CRC32C_X86

#include <immintrin.h>

#include <cstring>

#define VARVE_TARGET __attribute__((target("sse4.2,pclmul")))

namespace varve::crc32c {

namespace {

VARVE_TARGET inline std::uint64_t step(std::uint64_t crc, const std::byte* bytes) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return _mm_crc32_u64(crc, word);
}

// The multiplication of two mirrored polynomials yields one x too many, the reduction of a word by
// the instruction x^32: the factor holds 33 less.
template <std::size_t kBytes>
constexpr std::uint32_t kFactor = power_of_x(8 * kBytes - 33);

VARVE_TARGET inline std::uint64_t multiply(std::uint64_t crc, std::uint32_t factor) noexcept {
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)),
                                               _mm_cvtsi32_si128(static_cast<int>(factor)), 0);
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

// Takes as many groups of three stretches of `kStretch` bytes as there are.
template <std::size_t kStretch>
VARVE_TARGET inline std::uint64_t take_groups(std::uint64_t crc, const std::byte*& bytes,
                                              std::size_t& count) noexcept {
  while (count >= 3 * kStretch) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t offset = 0; offset < kStretch; offset += 8) {
      crc = step(crc, bytes + offset);
      second = step(second, bytes + kStretch + offset);
      third = step(third, bytes + 2 * kStretch + offset);
    }
    const std::uint64_t moved =
        multiply(crc, kFactor<2 * kStretch>) ^ multiply(second, kFactor<kStretch>);
    crc = _mm_crc32_u64(0, moved) ^ third;
    bytes += 3 * kStretch;
    count -= 3 * kStretch;
  }
  return crc;
}

}  // namespace

VARVE_TARGET std::uint32_t update_by_sse42(std::uint32_t crc, const std::byte* bytes,
                                           std::size_t count) noexcept {
  std::uint64_t value = crc;
  value = take_groups<2048>(value, bytes, count);
  value = take_groups<512>(value, bytes, count);
  value = take_groups<128>(value, bytes, count);
  for (; count >= 8; count -= 8, bytes += 8) value = step(value, bytes);
  auto rest = static_cast<std::uint32_t>(value);
  for (; count > 0; --count, ++bytes) {
    rest = _mm_crc32_u8(rest, static_cast<unsigned char>(*bytes));
  }
  return rest;
}

}  // namespace varve::crc32c

#endif
