// Lookups with AVX-512 (F, VL): a node is one comparison, a block of mappings two.
#include <immintrin.h>

#include "lsmt/lookup_kernel.h"
#include "lsmt/lookup_put_two.h"
#include "lsmt/lookup_sets.h"

namespace varve::lsmt {
namespace {

struct Avx512 {
  struct Narrow {
    using Key = std::int32_t;
    static constexpr unsigned kKeys = kNarrowKeys;
    static __m512i probe(Word sector) { return _mm512_set1_epi32(narrow_key(sector)); }
    static std::size_t count(const Key* node, __m512i probe) {
      const __mmask16 mask = _mm512_cmple_epi32_mask(_mm512_load_si512(node), probe);
      return bits_in(mask);
    }
  };

  struct Wide {
    using Key = std::int64_t;
    static constexpr unsigned kKeys = kWideKeys;
    static __m512i probe(Word sector) { return _mm512_set1_epi64(static_cast<Key>(sector)); }
    static std::size_t count(const Key* node, __m512i probe) {
      const __mmask8 mask = _mm512_cmple_epi64_mask(_mm512_load_si512(node), probe);
      return bits_in(mask);
    }
  };

  // Every second word says where a mapping lies.
  static std::size_t ended_in_block(const Word* block, Word sector) {
    constexpr __mmask8 kPlaces = 0x55;
    const __m512i limit = _mm512_set1_epi64(static_cast<std::int64_t>(sector));
    const unsigned low =
        _mm512_mask_cmple_epu64_mask(kPlaces, ends(_mm512_load_si512(block)), limit);
    const unsigned high =
        _mm512_mask_cmple_epu64_mask(kPlaces, ends(_mm512_load_si512(block + 8)), limit);
    return bits_in(low | high << 1);
  }

  static __m512i ends(__m512i mappings) {
    const __m512i sectors = _mm512_set1_epi64(static_cast<std::int64_t>(kSectorMax));
    return _mm512_add_epi64(_mm512_and_si512(mappings, sectors), _mm512_srli_epi64(mappings, 50));
  }

  static std::size_t put_two(const Word* mapping, Word first, Word end, Word* found) {
    return put_two_mappings(
        mapping, first, end, found, [](__m256i a, __m256i b) { return _mm256_max_epu64(a, b); },
        [](__m256i a, __m256i b) { return _mm256_min_epu64(a, b); });
  }
};

}  // namespace

constinit const LookupSet kAvx512Lookups = lookup_set<Avx512>("avx512");

}  // namespace varve::lsmt
