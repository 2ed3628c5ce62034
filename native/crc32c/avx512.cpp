// Folding: four registers of 64 bytes hold what the message so far leaves, each moved past the next
// 256 bytes by two carry-less multiplications for every 16 bytes, and added to them.
#include "crc32c/ways.h"

#ifdef VARVE_CRC32C_X86

#include <immintrin.h>

#define VARVE_TARGET __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,vpclmulqdq")))

namespace varve::crc32c {

namespace {

// The two factors that move 16 bytes past `kBits` bits: for their first and their second half. A
// factor is the upper half of a word; the multiplication of mirrored words yields one x too many.
template <std::uint64_t kBits>
constexpr std::uint64_t kFirstFactor = std::uint64_t{power_of_x(kBits + 63)} << 32;
template <std::uint64_t kBits>
constexpr std::uint64_t kSecondFactor = std::uint64_t{power_of_x(kBits - 1)} << 32;

VARVE_TARGET inline __m512i pair(std::uint64_t first, std::uint64_t second) noexcept {
  const auto low = static_cast<long long>(first);
  const auto high = static_cast<long long>(second);
  return _mm512_set_epi64(high, low, high, low, high, low, high, low);
}

VARVE_TARGET inline __m512i load(const std::byte* bytes) noexcept {
  return _mm512_loadu_si512(bytes);
}

VARVE_TARGET inline __m512i fold(__m512i value, __m512i factors, __m512i next) noexcept {
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, factors, 0x00),
                                   _mm512_clmulepi64_epi128(value, factors, 0x11), next,
                                   kXorOfThree);
}

}  // namespace

VARVE_TARGET std::uint32_t update_by_avx512(std::uint32_t crc, const std::byte* bytes,
                                            std::size_t count) noexcept {
  if (count < 256) return update_by_sse42(crc, bytes, count);

  __m512i first = _mm512_xor_si512(
      load(bytes), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc))));
  __m512i second = load(bytes + 64);
  __m512i third = load(bytes + 128);
  __m512i fourth = load(bytes + 192);
  bytes += 256;
  count -= 256;

  const __m512i past_256 = pair(kFirstFactor<2048>, kSecondFactor<2048>);
  for (; count >= 256; count -= 256, bytes += 256) {
    first = fold(first, past_256, load(bytes));
    second = fold(second, past_256, load(bytes + 64));
    third = fold(third, past_256, load(bytes + 128));
    fourth = fold(fourth, past_256, load(bytes + 192));
  }

  const __m512i past_64 = pair(kFirstFactor<512>, kSecondFactor<512>);
  __m512i sum = fold(first, past_64, second);
  sum = fold(sum, past_64, third);
  sum = fold(sum, past_64, fourth);
  for (; count >= 64; count -= 64, bytes += 64) sum = fold(sum, past_64, load(bytes));

  // The first three quarters past what follows them in the register; the last one stays.
  const __m512i past_rest = _mm512_set_epi64(
      0, 0, static_cast<long long>(kSecondFactor<128>), static_cast<long long>(kFirstFactor<128>),
      static_cast<long long>(kSecondFactor<256>), static_cast<long long>(kFirstFactor<256>),
      static_cast<long long>(kSecondFactor<384>), static_cast<long long>(kFirstFactor<384>));
  const __m512i lanes = fold(sum, past_rest, _mm512_maskz_mov_epi64(0xC0, sum));
  alignas(64) std::uint64_t words[8];
  _mm512_store_si512(words, lanes);

  std::uint64_t value = _mm_crc32_u64(0, words[0] ^ words[2] ^ words[4] ^ words[6]);
  value = _mm_crc32_u64(value, words[1] ^ words[3] ^ words[5] ^ words[7]);
  return update_by_sse42(static_cast<std::uint32_t>(value), bytes, count);
}

}  // namespace varve::crc32c

#endif
