#include "zfile/block_index.h"

#include <utility>

namespace varve::zfile {

BlockIndex::BlockIndex(std::vector<std::uint32_t> lengths, std::uint32_t shortest,
                       std::uint32_t longest, std::uint64_t begin, std::uint64_t end,
                       std::string& defect)
    : distances_(std::move(lengths)) {
  const std::uint64_t count = distances_.size();
  distances_.push_back(0);
  groups_.assign(count / kGroup + 1, begin);
  std::uint64_t offset = begin;
  for (std::uint64_t block = 0; block < count; ++block) {
    const std::uint32_t length = distances_[block];
    if (length < shortest || length > longest) {
      defect = "block " + std::to_string(block) + " is " + std::to_string(length) +
               " bytes long in the index, not " + std::to_string(shortest) + " to " +
               std::to_string(longest);
      return;
    }
    if (length > end - offset) {
      defect = "block " + std::to_string(block) + " of " + std::to_string(length) + " bytes at " +
               std::to_string(offset) + " reaches past " + std::to_string(end);
      return;
    }
    if (block % kGroup == 0) groups_[block / kGroup] = offset;
    distances_[block] = static_cast<std::uint32_t>(offset - groups_[block / kGroup]);
    offset += length;
  }
  if (count % kGroup == 0) groups_[count / kGroup] = offset;
  distances_[count] = static_cast<std::uint32_t>(offset - groups_[count / kGroup]);
}

std::size_t BlockIndex::memory() const noexcept {
  return groups_.capacity() * sizeof(std::uint64_t) + distances_.capacity() * sizeof(std::uint32_t);
}

}  // namespace varve::zfile
