#include "lsmt/index.h"

#include <limits>
#include <new>
#include <type_traits>

namespace varve::lsmt {

namespace {

constexpr std::size_t divide_up(std::size_t value, std::size_t by) { return (value + by - 1) / by; }

}  // namespace

Index::Index(MappingArray mappings, const LookupSet& set) : mappings_(std::move(mappings)) {
  mappings_.pad();
  view_.mappings = mappings_.data();
  view_.end = mappings_.empty() ? 0 : mappings_[mappings_.size() - 1].end();
  const bool is_narrow = view_.end < std::numeric_limits<std::uint32_t>::max();
  if (is_narrow) {
    grow_tree<std::int32_t>(kNarrowKeys);
  } else {
    grow_tree<std::int64_t>(kWideKeys);
  }
  view_.nodes = nodes_.get();
  functions_ = (is_narrow ? set.narrow : set.wide)[depth_];
}

template <class Key>
void Index::grow_tree(unsigned keys) {
  // The last one is behind all mappings.
  const std::size_t places = mappings_.size() + 1;
  const std::size_t fan_out = keys + 1;
  std::size_t leaves = 1;
  for (; leaves < places; leaves *= fan_out) ++depth_;
  if (depth_ > kDepthMax) throw std::bad_alloc();
  if (depth_ == 0) return;

  std::size_t nodes_above = 0;
  for (std::size_t width = 1; width < leaves / fan_out; width *= fan_out) nodes_above += width;
  const std::size_t nodes = nodes_above + divide_up(places, fan_out);
  nodes_.reset(allocate_lines(nodes * kCacheLine));
  auto* level = static_cast<Key*>(nodes_.get());

  // `below`: how many places lie below each child of the level at hand. Nodes that no place lies
  // below are never looked at.
  std::size_t width = 1;
  for (std::size_t below = leaves / fan_out; below > 0; below /= fan_out, width *= fan_out) {
    const std::size_t count = divide_up(places, below * fan_out);
    Key* key = level;
    for (std::size_t node = 0; node < count; ++node) {
      for (std::size_t child = 1; child <= keys; ++child) {
        const std::size_t place = (node * fan_out + child) * below;
        if (place >= places) {
          *key++ = std::numeric_limits<Key>::max();
          continue;
        }
        const std::uint64_t last = mappings_[place - 1].end() - 1;
        if constexpr (std::is_same_v<Key, std::int32_t>) {
          *key++ = static_cast<Key>(static_cast<std::uint32_t>(last) ^ 0x80000000U);
        } else {
          *key++ = static_cast<Key>(last);
        }
      }
    }
    level += width * keys;
  }
}

void Index::find_all(std::span<const SectorRange> ranges, std::span<Found> found) const noexcept {
  std::size_t at = 0;
  for (; at + kBatchSize <= ranges.size(); at += kBatchSize) {
    functions_.find_batch(view_, &ranges[at], &found[at]);
  }
  for (; at < ranges.size(); ++at) find(ranges[at], found[at]);
}

}  // namespace varve::lsmt
