// An index that does not change: sorted mappings that do not overlap, and the tree above them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lsmt/lookup.h"
#include "lsmt/mapping_array.h"

namespace varve::lsmt {

class Index {
 public:
  // More than this are refused, by stacks too.
  static constexpr std::size_t kMappingsMax = 128'000'000;

  Index() : Index(MappingArray()) {}
  // `mappings` are sorted, not empty, and do not overlap; see IndexEntries and overlay.
  explicit Index(MappingArray mappings, const LookupSet& set = *lookup_sets().front());

  [[nodiscard]] const MappingArray& mappings() const noexcept { return mappings_; }

  // The first mappings that overlap `range`, cut to it.
  void find(SectorRange range, Found& found) const noexcept {
    const std::uint64_t end = end_of(range);
    found.count = range.first < end
                      ? functions_.find(view_, range.first, end, found.mappings.data())
                      : 0;
  }
  // The same for many ranges, none of them empty; `found` has as many places.
  void find_all(std::span<const SectorRange> ranges, std::span<Found> found) const noexcept;

 private:
  // Where a range ends that is cut to what can be mapped.
  [[nodiscard]] static std::uint64_t end_of(SectorRange range) noexcept {
    if (range.first >= kSectorMax) return range.first;
    return range.count < kSectorMax - range.first ? range.end() : kSectorMax;
  }
  template <class Key>
  void grow_tree(unsigned keys);

  MappingArray mappings_;
  std::unique_ptr<void, ReleaseLines> nodes_;
  unsigned depth_ = 0;
  IndexView view_;
  FindFunctions functions_;
};

}  // namespace varve::lsmt
