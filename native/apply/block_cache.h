// The write-back cache between libext2fs and a disk.
//
// Metadata is kept in pages until flush, so a block that changes a thousand times is written once,
// in the order of the disk. A page that is written as it was before is not written at all: what
// libext2fs writes anew without a change costs a layer nothing, nor do zeros on a blank disk.
// Content of files goes through to the disk, small neighbours together.
//
// Invariant: a cached page is what a read has to show; the disk lacks what is in dirty pages and in
// the gathered content, and nothing else. What reaches the disk, and in which order, depends on
// nothing but the calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "apply/block_store.h"

namespace varve::apply {

class BlockCache {
 public:
  // Pages beyond `pages_max` are written and let go.
  explicit BlockCache(BlockStore& store, std::size_t pages_max = kPagesMax);

  [[nodiscard]] BlockStore& store() const noexcept { return store_; }

  // Any range inside of the disk; 0 or a negative errno.
  [[nodiscard]] int read(std::span<std::byte> destination, std::uint64_t offset);
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset);
  // Content of a file: multiples of 512.
  [[nodiscard]] int write_content(std::span<const std::byte> source, std::uint64_t offset);
  // Everything is with the disk afterwards.
  [[nodiscard]] int flush();

 private:
  static constexpr std::size_t kPageSize = 4096;
  // 256 MiB of metadata.
  static constexpr std::size_t kPagesMax = 65536;
  struct Page {
    std::array<std::byte, kPageSize> bytes{};
    bool is_dirty = false;
  };

  [[nodiscard]] std::size_t page_length(std::uint64_t number) const noexcept;
  int load(std::uint64_t number, Page*& page);
  int flush_gathered();
  int flush_pages();

  BlockStore& store_;
  std::size_t pages_max_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
  std::vector<std::byte> gathered_;  // content of files that lies together
  std::uint64_t gathered_offset_ = 0;
};

}  // namespace varve::apply
