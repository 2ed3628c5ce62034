// Lookup: which mappings overlap a range of sectors, cut to it.
//
// Above the sorted mappings lies a tree without pointers, whose leaves are the mappings and the place
// behind the last one. A node is one line of the cache and holds, for its children from the second
// on, the last sector that is mapped before the child; so one comparison of the whole line says where
// to go, and what the tree ends at is the first mapping that does not end before the range. The
// children of node n are n*(keys+1)+1 and on. Where all sectors are below 2^32 keys have 32 bits (16
// in a node), else 64 (8 in a node).
// The whole lookup is one function for each set of instructions, without branches that depend on
// what is found; a batch goes down the tree together, so that its memory accesses overlap.
//
// The files that implement it for one set of instructions (lookup_avx2.cpp and so on) are compiled
// with the compiler's option for that set. They must not instantiate inline functions that others
// use too: the linker keeps any one copy, and it would then fail on older processors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lsmt/mapping.h"

namespace varve::lsmt {

// What a lookup sees of an index.
struct IndexView {
  const Mapping* mappings = nullptr;  // with padding behind the last one
  const void* nodes = nullptr;
  std::uint64_t end = 0;  // the first sector behind the last mapping
};

inline constexpr std::size_t kFoundMax = 16;
inline constexpr std::size_t kBatchSize = 16;

// The first mappings that overlap a range. Where there are kFoundMax of them there may be more.
struct Found {
  std::size_t count = 0;
  std::array<Mapping, kFoundMax> mappings;
};

// Ranges end at kSectorMax at the latest and are not empty.
using FindFunction = std::size_t (*)(const IndexView& index, std::uint64_t first, std::uint64_t end,
                                     Mapping* found);
// kBatchSize ranges and as many answers.
using FindBatchFunction = void (*)(const IndexView& index, const SectorRange* ranges, Found* found);

struct FindFunctions {
  FindFunction find = nullptr;
  FindBatchFunction find_batch = nullptr;
};

inline constexpr unsigned kNarrowKeys = 16;
inline constexpr unsigned kWideKeys = 8;
// Enough for 2^28 mappings with either width.
inline constexpr unsigned kDepthMax = 9;

// The lookups for one set of instructions, by the width of keys and the depth of the tree.
struct LookupSet {
  const char* name = "";
  std::array<FindFunctions, kDepthMax + 1> narrow;
  std::array<FindFunctions, kDepthMax + 1> wide;
};

// The sets that this processor has, the fastest first; the last one runs everywhere.
std::span<const LookupSet* const> lookup_sets();

}  // namespace varve::lsmt
