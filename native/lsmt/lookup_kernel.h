// The lookup itself, for lookup_<set>.cpp, which say how a set of instructions counts keys.
// Everything is local to the file that includes it and works on bare words: see lookup.h for why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lsmt/lookup.h"

// A batch's loop without its overhead: what it counts and stores costs as much as the tree.
#ifdef __clang__
#define VARVE_UNROLL_BATCH _Pragma("unroll")
#else
#define VARVE_UNROLL_BATCH _Pragma("GCC unroll 16")
#endif

namespace varve::lsmt {
namespace {

using Word = std::uint64_t;

constexpr std::size_t kWordsInMapping = 2;

// Keys are compared signed, which every set of instructions can do.
template <class Key>
inline Key key_of(Word sector) {
  if constexpr (sizeof(Key) == sizeof(std::int32_t)) {
    return static_cast<Key>(static_cast<std::uint32_t>(sector) ^ 0x80000000U);
  } else {
    return static_cast<Key>(sector);
  }
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

// Nothing before the mapping reaches into the range.
template <class Set>
[[gnu::always_inline]] inline std::size_t take(const Word* mapping, Word first, Word end,
                                               Word* found) {
  // Most ranges meet none, one or two: which of them is not known before, so both are written.
  const std::size_t count = Set::put_two(mapping, first, end, found);
  if (__builtin_expect(first_of(mapping + 2 * kWordsInMapping) < end, 0)) {
    return take_more(mapping, first, end, found);
  }
  return count;
}

// What lies behind everything must not look like the keys that fill a node up.
template <class Keys>
inline typename Keys::Key probe_key(const IndexView& index, Word first) {
  return key_of<typename Keys::Key>(smaller(first, index.end));
}

template <class Keys>
inline std::size_t child_of(const typename Keys::Key* nodes, std::size_t node,
                            typename Keys::Probe probe) {
  return node * (Keys::kKeys + 1) + 1 + Keys::count(nodes + node * Keys::kKeys, probe);
}

// Asks for all mappings below a node of the last level, so that they come together with the node. It
// pays off where neither is in a near cache.
template <class Keys, unsigned kDepth>
inline void prefetch_children(const Word* words, std::size_t node) {
  constexpr std::size_t kFarNodes = 10'000;
  if constexpr (nodes_above(Keys::kKeys, kDepth) > kFarNodes) {
    constexpr std::size_t kWords = (Keys::kKeys + 1) * kWordsInMapping;
    constexpr std::size_t kWordsInLine = 8;
    const Word* first = words + (node - nodes_above(Keys::kKeys, kDepth - 1)) * kWords;
    for (std::size_t at = 0; at < kWords; at += kWordsInLine) __builtin_prefetch(first + at);
  }
}

template <class Set, class Keys, unsigned kDepth>
std::size_t find(const IndexView& index, Word first, Word end, Mapping* found) {
  const auto* nodes = static_cast<const typename Keys::Key*>(index.nodes);
  const auto* words = reinterpret_cast<const Word*>(index.mappings);
  const auto probe = Keys::probe(probe_key<Keys>(index, first));
  std::size_t node = 0;
  for (unsigned level = 0; level < kDepth; ++level) {
    if (level + 1 == kDepth) prefetch_children<Keys, kDepth>(words, node);
    node = child_of<Keys>(nodes, node, probe);
  }
  const std::size_t mapping = node - nodes_above(Keys::kKeys, kDepth);
  return take<Set>(words + mapping * kWordsInMapping, first, end, reinterpret_cast<Word*>(found));
}

// One level after the other for all ranges: one range after the other would leave the processor
// waiting for the last levels of a few, since it looks only so many instructions ahead.
template <class Set, class Keys, unsigned kDepth>
void find_batch(const IndexView& index, const SectorRange* ranges, Found* found) {
  // Levels whose nodes, 20 KiB at most, the nearest cache holds without being asked.
  constexpr unsigned kNearLevels = 3;
  const auto* nodes = static_cast<const typename Keys::Key*>(index.nodes);
  const auto* words = reinterpret_cast<const Word*>(index.mappings);
  typename Keys::Key keys[kBatchSize];
  std::size_t node[kBatchSize] = {};
  for (std::size_t at = 0; at < kBatchSize; ++at) {
    keys[at] = probe_key<Keys>(index, ranges[at].first);
  }
  for (unsigned level = 0; level < kDepth; ++level) {
    VARVE_UNROLL_BATCH
    for (std::size_t at = 0; at < kBatchSize; ++at) {
      node[at] = child_of<Keys>(nodes, node[at], Keys::probe(keys[at]));
      if (level + 1 == kDepth) {
        node[at] -= nodes_above(Keys::kKeys, kDepth);
        // What is taken may reach into the next line.
        __builtin_prefetch(words + node[at] * kWordsInMapping);
        __builtin_prefetch(words + (node[at] + 2) * kWordsInMapping);
      } else if (level + 1 >= kNearLevels) {
        __builtin_prefetch(nodes + node[at] * Keys::kKeys);
      }
    }
  }
  for (std::size_t at = 0; at < kBatchSize; ++at) {
    const Word end = smaller(ranges[at].first + ranges[at].count, kSectorMax);
    found[at].count = take<Set>(words + node[at] * kWordsInMapping, ranges[at].first, end,
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
