// Cutting two mappings to a range at once, for the sets of instructions with 256 bits.
// Local to the file that includes it, like lookup_kernel.h.
#pragma once

#include <immintrin.h>

#include "lsmt/lookup_kernel.h"

namespace varve::lsmt {
namespace {

inline std::size_t bits_in(unsigned mask) { return static_cast<std::size_t>(_mm_popcnt_u64(mask)); }

// Words of a register: place and target of the first mapping, of the second. Returns how many of
// the two begin before `end`; `positive` makes zero of each negative word.
template <class Positive>
inline std::size_t put_two_mappings(const Word* mapping, Word first, Word end, Word* found,
                                    const Positive& positive) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mapping));
  const __m256i sectors = _mm256_set1_epi64x(static_cast<std::int64_t>(kSectorMax));
  const __m256i limit = _mm256_set1_epi64x(static_cast<std::int64_t>(end));
  const __m256i begin = _mm256_and_si256(words, sectors);
  const __m256i until = _mm256_add_epi64(begin, _mm256_srli_epi64(words, 50));
  // What the range leaves out at the front and at the back.
  const __m256i start = _mm256_set1_epi64x(static_cast<std::int64_t>(first));
  const __m256i skipped = positive(_mm256_sub_epi64(start, begin));
  const __m256i cut = positive(_mm256_sub_epi64(until, limit));
  const __m256i shorter_by = _mm256_slli_epi64(_mm256_add_epi64(skipped, cut), 50);
  const __m256i places = _mm256_sub_epi64(skipped, shorter_by);
  // What is skipped moves the target as well; that of zeros stays.
  const __m256i is_zeroed =
      _mm256_cmpgt_epi64(_mm256_setzero_si256(), _mm256_slli_epi64(words, 63 - 55));
  const __m256i targets = _mm256_andnot_si256(is_zeroed, _mm256_bslli_epi128(skipped, 8));
  const __m256i changes = _mm256_blend_epi32(places, targets, 0b11001100);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(found), _mm256_add_epi64(words, changes));
  const int begun = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, begin)));
  return bits_in(static_cast<unsigned>(begun) & 0b0101);
}

}  // namespace
}  // namespace varve::lsmt
