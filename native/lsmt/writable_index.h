// The index of a writable layer: what is put in last counts.
//
// Mappings are kept sorted and without overlaps in short runs of memory, so that one more costs a
// small move, however many there are. Not safe for several threads; its owner locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lsmt/lookup.h"
#include "lsmt/mapping_array.h"

namespace varve::lsmt {

class WritableIndex {
 public:
  // Covers whatever was mapped there. `mapping` is not empty.
  void put(const Mapping& mapping);
  // Forgets whatever is mapped in `range`, cutting what reaches over its ends.
  void erase(SectorRange range);

  // The first mappings that overlap `range`, cut to it.
  void find(SectorRange range, Found& found) const noexcept;
  // Whether all of `range` is mapped to data.
  [[nodiscard]] bool is_all_data(SectorRange range) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // All of it in order, not padded.
  [[nodiscard]] MappingArray to_array() const;

 private:
  using Run = std::vector<Mapping>;

  struct Place {
    std::size_t run = 0;
    std::size_t at = 0;
  };

  // The first mapping that ends behind `sector`; one behind the last run if there is none.
  [[nodiscard]] Place place_of(std::uint64_t sector) const noexcept;
  void replace(SectorRange range, const Mapping* with);
  void drop_run_if_empty(std::size_t run);
  void split_if_long(std::size_t run);

  // The first sector of each run, side by side for the search.
  std::vector<std::uint64_t> firsts_;
  std::vector<Run> runs_;
  std::size_t size_ = 0;
};

}  // namespace varve::lsmt
