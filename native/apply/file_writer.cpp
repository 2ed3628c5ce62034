#include "apply/file_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "apply/apply_error.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

// The blocks that parts touch; parts that share a block or touch one another are one range.
std::vector<BlockRange> blocks_of(const std::vector<io::ByteRange>& parts, std::uint64_t size) {
  std::vector<BlockRange> ranges;
  for (const io::ByteRange& part : parts) {
    if (part.length == 0) continue;
    const std::uint64_t first = part.offset / size;
    const std::uint64_t end = (part.offset + part.length - 1) / size + 1;
    if (!ranges.empty() && first <= ranges.back().end) {
      ranges.back().end = end;
    } else {
      ranges.push_back({first, end});
    }
  }
  return ranges;
}

struct FreeHandle {
  void operator()(ext2_extent_handle_t handle) const noexcept { ext2fs_extent_free(handle); }
};
using ExtentHandle =
    std::unique_ptr<std::remove_pointer_t<ext2_extent_handle_t>, FreeHandle>;

std::vector<Extent> read_extents(const Volume& volume, ext2_ino_t number, Inode& inode) {
  ext2_extent_handle_t opened = nullptr;
  check_ext2(ext2fs_extent_open2(volume.fs(), number, inode.base(), &opened),
             "read where blocks were allocated");
  const ExtentHandle handle(opened);
  std::vector<Extent> extents;
  ext2fs_extent extent{};
  errcode_t code = ext2fs_extent_get(opened, EXT2_EXTENT_ROOT, &extent);
  while (code == 0) {
    if ((extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) != 0 &&
        (extent.e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT) == 0) {
      extents.push_back({extent.e_lblk, extent.e_pblk, extent.e_len});
    }
    code = ext2fs_extent_get(opened, EXT2_EXTENT_NEXT, &extent);
  }
  if (code != EXT2_ET_EXTENT_NO_NEXT) check_ext2(code, "read where blocks were allocated");
  return extents;
}

}  // namespace

std::vector<Extent> allocate_blocks(const Volume& volume, ext2_ino_t number, Inode& inode,
                                    const std::vector<io::ByteRange>& parts, blk64_t& goal) {
  const std::vector<BlockRange> ranges = blocks_of(parts, volume.block_size());
  std::uint64_t needed = 0;
  for (const BlockRange& range : ranges) needed += range.end - range.first;
  const std::uint64_t free = ext2fs_free_blocks_count(volume.fs()->super);
  if (needed > free) {
    throw ApplyError(ENOSPC, "the file system is full: " + std::to_string(needed) +
                                 " blocks are needed, " + std::to_string(free) + " are free");
  }
  for (const BlockRange& range : ranges) {
    check_ext2(ext2fs_fallocate(volume.fs(), EXT2_FALLOCATE_FORCE_INIT, number, inode.base(), goal,
                                range.first, range.end - range.first),
               "allocate blocks");
  }
  inode.write(volume, number);
  if (ranges.empty()) return {};
  std::vector<Extent> extents = read_extents(volume, number, inode);
  goal = extents.empty() ? goal : extents.back().physical + extents.back().count;
  if (goal >= ext2fs_blocks_count(volume.fs()->super)) goal = 0;
  return extents;
}

FileWriter::FileWriter(const Volume& volume, std::vector<Extent> extents)
    : volume_(volume), extents_(std::move(extents)), block_(volume.block_size()) {}

const Extent& FileWriter::extent_of(std::uint64_t block) {
  while (current_ < extents_.size() &&
         extents_[current_].first + extents_[current_].count <= block) {
    ++current_;
  }
  if (current_ == extents_.size() || block < extents_[current_].first) {
    throw ApplyError(EIO, "content has no block: blocks were not allocated as asked");
  }
  return extents_[current_];
}

void FileWriter::put(std::span<const std::byte> source, std::uint64_t physical) {
  const int error =
      volume_.cache().write_content(source, physical * volume_.block_size());
  if (error != 0) {
    throw ApplyError(-error, "cannot write content to " + volume_.cache().store().name() + ": " +
                                 io::error_text(-error));
  }
}

void FileWriter::put_block() {
  if (!has_block_) return;
  const Extent& extent = extent_of(block_number_);
  put(block_, extent.physical + (block_number_ - extent.first));
  has_block_ = false;
}

// A piece of one block.
void FileWriter::take(std::span<const std::byte> source, std::uint64_t offset) {
  const std::uint64_t number = offset / block_.size();
  if (!has_block_ || number != block_number_) {
    put_block();
    std::fill(block_.begin(), block_.end(), std::byte{0});
    block_number_ = number;
    has_block_ = true;
  }
  std::memcpy(block_.data() + offset % block_.size(), source.data(), source.size());
}

void FileWriter::write(std::span<const std::byte> source, std::uint64_t offset) {
  const std::size_t size = block_.size();
  while (!source.empty()) {
    std::size_t length = std::min(source.size(), size - offset % size);
    if (length == size) {
      put_block();
      const Extent& extent = extent_of(offset / size);
      const std::uint64_t within = offset / size - extent.first;
      const std::uint64_t blocks = std::min<std::uint64_t>(source.size() / size,
                                                           extent.count - within);
      length = blocks * size;
      put(source.first(length), extent.physical + within);
    } else {
      take(source.first(length), offset);
    }
    source = source.subspan(length);
    offset += length;
  }
}

}  // namespace varve::apply
