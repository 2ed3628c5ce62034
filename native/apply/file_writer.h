// The content of a regular file: blocks for the parts that hold data, then their bytes, in order.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>
#include <span>
#include <vector>

#include "apply/inode.h"
#include "io/file.h"

namespace varve::apply {

// A run of blocks of a file that lie together on the disk.
struct Extent {
  std::uint64_t first = 0;  // within the file
  std::uint64_t physical = 0;
  std::uint64_t count = 0;
};

// Allocates blocks for the parts of a file that hold data; `goal` is where to look first, and
// becomes where the next file should. Writes the inode.
std::vector<Extent> allocate_blocks(const Volume& volume, ext2_ino_t number, Inode& inode,
                                    const std::vector<io::ByteRange>& parts, blk64_t& goal);

// Takes bytes in ascending order and fills up with zeros what blocks have beyond them.
class FileWriter {
 public:
  FileWriter(const Volume& volume, std::vector<Extent> extents);

  void write(std::span<const std::byte> source, std::uint64_t offset);
  void finish() { put_block(); }

 private:
  void take(std::span<const std::byte> source, std::uint64_t offset);
  void put_block();
  void put(std::span<const std::byte> source, std::uint64_t physical);
  const Extent& extent_of(std::uint64_t block);

  const Volume& volume_;
  std::vector<Extent> extents_;
  std::size_t current_ = 0;
  std::vector<std::byte> block_;  // one that is being put together
  std::uint64_t block_number_ = 0;
  bool has_block_ = false;
};

}  // namespace varve::apply
