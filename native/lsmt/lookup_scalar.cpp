// Lookups for any processor: a node is counted by halving it, without branches.
#include "lsmt/lookup_kernel.h"
#include "lsmt/lookup_sets.h"

namespace varve::lsmt {
namespace {

// How many of the sorted keys are below the probe; `kKeys` is a power of two.
template <unsigned kKeys, class Key>
inline std::size_t count_sorted(const Key* keys, Key probe) {
  std::size_t count = 0;
  for (unsigned half = kKeys / 2; half > 0; half /= 2) {
    count += keys[count + half - 1] < probe ? half : 0;
  }
  return count + static_cast<std::size_t>(keys[count] < probe);
}

struct Scalar {
  struct Narrow {
    using Key = std::int32_t;
    using Probe = Key;
    static constexpr unsigned kKeys = kNarrowKeys;
    static Probe probe(Key key) { return key; }
    static std::size_t count(const Key* node, Key probe) {
      return count_sorted<kKeys>(node, probe);
    }
  };

  struct Wide {
    using Key = std::int64_t;
    using Probe = Key;
    static constexpr unsigned kKeys = kWideKeys;
    static Probe probe(Key key) { return key; }
    static std::size_t count(const Key* node, Key probe) {
      return count_sorted<kKeys>(node, probe);
    }
  };

  static std::size_t put_two(const Word* mapping, Word first, Word end, Word* found) {
    put(mapping, first, end, found);
    put(mapping + kWordsInMapping, first, end, found + kWordsInMapping);
    return static_cast<std::size_t>(first_of(mapping) < end) +
           static_cast<std::size_t>(first_of(mapping + kWordsInMapping) < end);
  }
};

}  // namespace

constinit const LookupSet kScalarLookups = lookup_set<Scalar>("scalar");

}  // namespace varve::lsmt
