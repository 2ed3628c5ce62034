#include "zfile/block_index.h"

#include <algorithm>

namespace varve::zfile {

BlockIndex::BlockIndex(const BlockLimits& limits, std::uint64_t block_count)
    : limits_(limits), expected_count_(block_count) {
  groups_.front() = limits.begin;
  make_room(0);
}

void BlockIndex::make_room(std::uint64_t block_count) {
  if (block_count <= reserved_ && reserved_ != 0) return;
  reserved_ = std::min(expected_count_, std::max({kReservedAtFirst, reserved_ * 4, block_count}));
  distances_.reserve(reserved_ + 1);
  groups_.reserve(reserved_ / kGroup + 1);
}

std::string BlockIndex::add(std::span<const std::uint32_t> lengths) {
  make_room(block_count() + lengths.size());
  std::uint64_t offset = offset_of(block_count());
  for (const std::uint32_t length : lengths) {
    const std::uint64_t block = block_count();
    if (length < limits_.shortest || length > limits_.longest) {
      return "block " + std::to_string(block) + " is " + std::to_string(length) +
             " bytes long in the index, not " + std::to_string(limits_.shortest) + " to " +
             std::to_string(limits_.longest);
    }
    if (length > limits_.end - offset) {
      return "block " + std::to_string(block) + " of " + std::to_string(length) + " bytes at " +
             std::to_string(offset) + " reaches past " + std::to_string(limits_.end);
    }
    offset += length;
    if ((block + 1) % kGroup == 0) groups_.push_back(offset);
    distances_.push_back(static_cast<std::uint32_t>(offset - groups_.back()));
  }
  return {};
}

}  // namespace varve::zfile
