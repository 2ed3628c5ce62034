// Where each stored block lies: about 4.5 bytes of memory a block.
//
// Made from the stored lengths in place: the lengths become the distances from the start of their
// group of blocks, whose own offset is kept in full. One more distance than blocks, so that the end
// of the last one is found like any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace varve::zfile {

class BlockIndex {
 public:
  BlockIndex() = default;

  // Takes the lengths of the index, in order. Sets `defect` to what is wrong with them: one that is
  // not from `shortest` to `longest`, or blocks that do not fit between `begin` and `end`.
  BlockIndex(std::vector<std::uint32_t> lengths, std::uint32_t shortest, std::uint32_t longest,
             std::uint64_t begin, std::uint64_t end, std::string& defect);

  [[nodiscard]] std::uint64_t block_count() const noexcept { return distances_.size() - 1; }

  // Where block `block` begins; of block_count(), where the last one ends.
  [[nodiscard]] std::uint64_t offset_of(std::uint64_t block) const noexcept {
    return groups_[block / kGroup] + distances_[block];
  }

  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  // 16 of the longest blocks are far below 2^32 bytes.
  static constexpr std::uint64_t kGroup = 16;

  std::vector<std::uint64_t> groups_ = {0};
  std::vector<std::uint32_t> distances_ = {0};
};

}  // namespace varve::zfile
