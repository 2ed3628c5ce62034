// The lookup itself, for lookup_<set>.cpp, which say how a set of instructions counts keys.
// Everything is local to the file that includes it and works on bare words: see lookup.h for why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lsmt/lookup.h"

namespace varve::lsmt {
namespace {

using Word = std::uint64_t;

constexpr std::size_t kWordsInMapping = 2;
constexpr std::size_t kWordsInBlock = 16;

// Keys are compared signed, which every set of instructions can do.
inline std::int32_t narrow_key(Word sector) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(sector) ^ 0x80000000U);
}

inline Word smaller(Word a, Word b) { return a < b ? a : b; }
inline Word larger(Word a, Word b) { return a < b ? b : a; }
inline Word first_of(const Word* mapping) { return mapping[0] & kSectorMax; }
inline Word end_of(const Word* mapping) { return first_of(mapping) + (mapping[0] >> 50); }

// How many nodes lie above the level of the leaves.
constexpr std::size_t nodes_above(unsigned keys, unsigned depth) {
  std::size_t sum = 0;
  for (std::size_t level = 0, width = 1; level < depth; ++level, width *= keys + 1) sum += width;
  return sum;
}

// The part of a mapping between `first` and `end`; rubbish if there is none.
inline void put(const Word* mapping, Word first, Word end, Word* found) {
  const Word begin = first_of(mapping);
  const Word from = larger(begin, first);
  const Word until = smaller(end_of(mapping), end);
  const Word is_zeroed = (mapping[1] >> 55) & 1;
  found[0] = from | (until - from) << 50;
  found[1] = mapping[1] + ((from - begin) & (is_zeroed - 1));
}

// Rare, and kept out of the way of the rest.
[[gnu::noinline, gnu::cold]] std::size_t take_more(const Word* mapping, Word first, Word end,
                                                   Word* found) {
  std::size_t count = 2;
  for (; count < kFoundMax && first_of(mapping + count * kWordsInMapping) < end; ++count) {
    put(mapping + count * kWordsInMapping, first, end, found + count * kWordsInMapping);
  }
  return count;
}

// Nothing before the block reaches into the range: what counts is what has ended within it.
template <class Set>
[[gnu::always_inline]] inline std::size_t take(const Word* block, Word first, Word end,
                                               Word* found) {
  const Word* mapping = block + Set::ended_in_block(block, first) * kWordsInMapping;
  // Most ranges meet none, one or two: which of them is not known before, so both are written.
  const std::size_t count = Set::put_two(mapping, first, end, found);
  if (__builtin_expect(first_of(mapping + 2 * kWordsInMapping) < end, 0)) {
    return take_more(mapping, first, end, found);
  }
  return count;
}

template <class Set, class Keys, unsigned kDepth>
std::size_t find(const IndexView& index, Word first, Word end, Mapping* found) {
  const auto* nodes = static_cast<const typename Keys::Key*>(index.nodes);
  const auto* words = reinterpret_cast<const Word*>(index.mappings);
  // What lies behind everything must not look like the keys that fill a node up.
  const auto probe = Keys::probe(smaller(first, index.end));
  std::size_t node = 0;
  for (unsigned level = 0; level < kDepth; ++level) {
    node = node * (Keys::kKeys + 1) + 1 + Keys::count(nodes + node * Keys::kKeys, probe);
  }
  const std::size_t block = node - nodes_above(Keys::kKeys, kDepth);
  return take<Set>(words + block * kWordsInBlock, first, end, reinterpret_cast<Word*>(found));
}

template <class Set, class Keys, unsigned kDepth>
void find_batch(const IndexView& index, const SectorRange* ranges, Found* found) {
  const auto* nodes = static_cast<const typename Keys::Key*>(index.nodes);
  const auto* words = reinterpret_cast<const Word*>(index.mappings);
  std::size_t node[kBatchSize] = {};
  for (unsigned level = 0; level < kDepth; ++level) {
    for (std::size_t at = 0; at < kBatchSize; ++at) {
      const auto probe = Keys::probe(smaller(ranges[at].first, index.end));
      node[at] = node[at] * (Keys::kKeys + 1) + 1 +
                 Keys::count(nodes + node[at] * Keys::kKeys, probe);
      if (level + 1 < kDepth) {
        __builtin_prefetch(nodes + node[at] * Keys::kKeys);
      } else {
        const std::size_t block = node[at] - nodes_above(Keys::kKeys, kDepth);
        __builtin_prefetch(words + block * kWordsInBlock);
        __builtin_prefetch(words + block * kWordsInBlock + kWordsInBlock / 2);
      }
    }
  }
  for (std::size_t at = 0; at < kBatchSize; ++at) {
    const std::size_t block = node[at] - nodes_above(Keys::kKeys, kDepth);
    const Word end = smaller(ranges[at].first + ranges[at].count, kSectorMax);
    found[at].count = take<Set>(words + block * kWordsInBlock, ranges[at].first, end,
                                reinterpret_cast<Word*>(&found[at].mappings));
  }
}

template <class Set, class Keys, unsigned... kDepths>
constexpr std::array<FindFunctions, kDepthMax + 1> for_depths(
    std::integer_sequence<unsigned, kDepths...> /*depths*/) {
  return {FindFunctions{find<Set, Keys, kDepths>, find_batch<Set, Keys, kDepths>}...};
}

template <class Set>
constexpr LookupSet lookup_set(const char* name) {
  constexpr auto kDepths = std::make_integer_sequence<unsigned, kDepthMax + 1>();
  return {name, for_depths<Set, typename Set::Narrow>(kDepths),
          for_depths<Set, typename Set::Wide>(kDepths)};
}

}  // namespace
}  // namespace varve::lsmt
