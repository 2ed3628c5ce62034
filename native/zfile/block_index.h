// Where each stored block lies: about 4.5 bytes of memory a block.
//
// Made from the stored lengths: what is kept is the distances from the start of their group of
// blocks, whose own offset is kept in full. One more distance than blocks, so that the end of the
// last one is found like any other.
//
// How many blocks there are is a claim of the file, so memory follows the lengths that were checked:
// at most four times what they take.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace varve::zfile {

// What the lengths of blocks must keep to.
struct BlockLimits {
  std::uint32_t shortest = 0;  // bytes, like the others
  std::uint32_t longest = 0;
  std::uint64_t begin = 0;  // where the first block lies
  std::uint64_t end = 0;    // where the last one ends at the latest
};

class BlockIndex {
 public:
  BlockIndex() = default;
  BlockIndex(const BlockLimits& limits, std::uint64_t block_count);

  // Takes the next lengths of the index, in order; `block_count` of them in all. What is wrong with
  // them: one that is not from `shortest` to `longest`, or blocks that do not fit; empty if nothing.
  [[nodiscard]] std::string add(std::span<const std::uint32_t> lengths);

  [[nodiscard]] std::uint64_t block_count() const noexcept { return distances_.size() - 1; }

  // Where block `block` begins; of block_count(), where the last one ends.
  [[nodiscard]] std::uint64_t offset_of(std::uint64_t block) const noexcept {
    return groups_[block / kGroup] + distances_[block];
  }

 private:
  // 16 of the longest blocks are far below 2^32 bytes.
  static constexpr std::uint64_t kGroup = 16;
  static constexpr std::uint64_t kReservedAtFirst = 1 << 18;  // blocks

  void make_room(std::uint64_t block_count);

  BlockLimits limits_;
  std::uint64_t expected_count_ = 0;
  std::uint64_t reserved_ = 0;  // blocks
  std::vector<std::uint64_t> groups_ = {0};
  std::vector<std::uint32_t> distances_ = {0};
};

}  // namespace varve::zfile
