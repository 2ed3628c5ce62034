// Lookups with AVX2: a node is two comparisons, a block of mappings two.
#include <immintrin.h>

#include "lsmt/lookup_kernel.h"
#include "lsmt/lookup_put_two.h"
#include "lsmt/lookup_sets.h"

namespace varve::lsmt {
namespace {

inline __m256i load(const void* from) {
  return _mm256_load_si256(static_cast<const __m256i*>(from));
}

inline __m256i larger(__m256i a, __m256i b) {
  return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(b, a));
}

inline __m256i smaller(__m256i a, __m256i b) {
  return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b));
}

struct Avx2 {
  struct Narrow {
    using Key = std::int32_t;
    static constexpr unsigned kKeys = kNarrowKeys;
    static __m256i probe(Word sector) { return _mm256_set1_epi32(narrow_key(sector)); }
    static std::size_t count(const Key* node, __m256i probe) {
      const __m256i low = _mm256_cmpgt_epi32(load(node), probe);
      const __m256i high = _mm256_cmpgt_epi32(load(node + 8), probe);
      // Two bits for each key above the probe, in an order that does not matter for counting.
      const int above = _mm256_movemask_epi8(_mm256_packs_epi32(low, high));
      return kKeys - bits_in(static_cast<unsigned>(above)) / 2;
    }
  };

  struct Wide {
    using Key = std::int64_t;
    static constexpr unsigned kKeys = kWideKeys;
    static __m256i probe(Word sector) { return _mm256_set1_epi64x(static_cast<Key>(sector)); }
    static std::size_t count(const Key* node, __m256i probe) {
      return count_of_eight(load(node), load(node + 4), probe);
    }
  };

  static std::size_t count_of_eight(__m256i low, __m256i high, __m256i probe) {
    const __m256i above =
        _mm256_packs_epi32(_mm256_cmpgt_epi64(low, probe), _mm256_cmpgt_epi64(high, probe));
    return 8 - bits_in(static_cast<unsigned>(_mm256_movemask_epi8(above))) / 4;
  }

  static std::size_t ended_in_block(const Word* block, Word sector) {
    const __m256i low = _mm256_unpacklo_epi64(load(block), load(block + 4));
    const __m256i high = _mm256_unpacklo_epi64(load(block + 8), load(block + 12));
    return count_of_eight(ends(low), ends(high),
                          _mm256_set1_epi64x(static_cast<std::int64_t>(sector)));
  }

  static __m256i ends(__m256i places) {
    const __m256i sectors = _mm256_set1_epi64x(static_cast<std::int64_t>(kSectorMax));
    return _mm256_add_epi64(_mm256_and_si256(places, sectors), _mm256_srli_epi64(places, 50));
  }

  static std::size_t put_two(const Word* mapping, Word first, Word end, Word* found) {
    return put_two_mappings(
        mapping, first, end, found, [](__m256i a, __m256i b) { return larger(a, b); },
        [](__m256i a, __m256i b) { return smaller(a, b); });
  }
};

}  // namespace

constinit const LookupSet kAvx2Lookups = lookup_set<Avx2>("avx2");

}  // namespace varve::lsmt
