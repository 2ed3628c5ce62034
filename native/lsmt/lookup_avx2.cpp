// Lookups with AVX2: a node is two comparisons.
#include <immintrin.h>

#include "lsmt/lookup_kernel.h"
#include "lsmt/lookup_put_two.h"
#include "lsmt/lookup_sets.h"

namespace varve::lsmt {
namespace {

inline __m256i load(const void* from) {
  return _mm256_load_si256(static_cast<const __m256i*>(from));
}

inline __m256i positive(__m256i words) {
  return _mm256_andnot_si256(_mm256_cmpgt_epi64(_mm256_setzero_si256(), words), words);
}

struct Avx2 {
  struct Narrow {
    using Key = std::int32_t;
    using Probe = __m256i;
    static constexpr unsigned kKeys = kNarrowKeys;
    static Probe probe(Key key) { return _mm256_set1_epi32(key); }
    static std::size_t count(const Key* node, Probe probe) {
      const __m256i low = _mm256_cmpgt_epi32(probe, load(node));
      const __m256i high = _mm256_cmpgt_epi32(probe, load(node + 8));
      // Two bits for each key below the probe, in an order that does not matter for counting.
      const int below = _mm256_movemask_epi8(_mm256_packs_epi32(low, high));
      return bits_in(static_cast<unsigned>(below)) / 2;
    }
  };

  struct Wide {
    using Key = std::int64_t;
    using Probe = __m256i;
    static constexpr unsigned kKeys = kWideKeys;
    static Probe probe(Key key) { return _mm256_set1_epi64x(key); }
    static std::size_t count(const Key* node, Probe probe) {
      const __m256i low = _mm256_cmpgt_epi64(probe, load(node));
      const __m256i high = _mm256_cmpgt_epi64(probe, load(node + 4));
      const int below = _mm256_movemask_epi8(_mm256_packs_epi32(low, high));
      return bits_in(static_cast<unsigned>(below)) / 4;
    }
  };

  static std::size_t put_two(const Word* mapping, Word first, Word end, Word* found) {
    return put_two_mappings(mapping, first, end, found,
                            [](__m256i words) { return positive(words); });
  }
};

}  // namespace

constinit const LookupSet kAvx2Lookups = lookup_set<Avx2>("avx2");

}  // namespace varve::lsmt
