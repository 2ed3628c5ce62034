// Lookups with AVX-512 (F, VL): a node is one comparison.
#include <immintrin.h>

#include "lsmt/lookup_kernel.h"
#include "lsmt/lookup_put_two.h"
#include "lsmt/lookup_sets.h"

namespace varve::lsmt {
namespace {

struct Avx512 {
  struct Narrow {
    using Key = std::int32_t;
    using Probe = __m512i;
    static constexpr unsigned kKeys = kNarrowKeys;
    static Probe probe(Key key) { return _mm512_set1_epi32(key); }
    static std::size_t count(const Key* node, Probe probe) {
      const __mmask16 mask = _mm512_cmpgt_epi32_mask(probe, _mm512_load_si512(node));
      return bits_in(mask);
    }
  };

  struct Wide {
    using Key = std::int64_t;
    using Probe = __m512i;
    static constexpr unsigned kKeys = kWideKeys;
    static Probe probe(Key key) { return _mm512_set1_epi64(key); }
    static std::size_t count(const Key* node, Probe probe) {
      const __mmask8 mask = _mm512_cmpgt_epi64_mask(probe, _mm512_load_si512(node));
      return bits_in(mask);
    }
  };

  static std::size_t put_two(const Word* mapping, Word first, Word end, Word* found) {
    return put_two_mappings(mapping, first, end, found, [](__m256i words) {
      return _mm256_max_epi64(words, _mm256_setzero_si256());
    });
  }
};

}  // namespace

constinit const LookupSet kAvx512Lookups = lookup_set<Avx512>("avx512");

}  // namespace varve::lsmt
