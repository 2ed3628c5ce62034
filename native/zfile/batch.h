// Some neighbouring blocks on their way through a writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "zfile/codec.h"
#include "zfile/format.h"

namespace varve::zfile {

// Large enough that handing it over costs nothing beside compressing it; a multiple of every block
// size.
inline constexpr std::size_t kBatchContent = 256 << 10;
static_assert(kBatchContent % kBlockSizeMax == 0);

class Batch {
 public:
  Batch(std::uint32_t block_size, bool has_sums);

  [[nodiscard]] std::span<std::byte> room() noexcept {
    return {content_.get() + length_, kBatchContent - length_};
  }
  void fill(std::size_t length) noexcept { length_ += length; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

  // Turns the content into stored blocks; what the compressor throws is kept.
  void compress(Compressor& compressor) noexcept;

  // Throws what compress() met.
  [[nodiscard]] std::span<const std::byte> stored() const;
  [[nodiscard]] const std::vector<std::uint32_t>& lengths() const noexcept { return lengths_; }

  void clear() noexcept;

 private:
  void compress_blocks(Compressor& compressor);

  std::uint32_t block_size_;
  bool has_sums_;
  std::unique_ptr<std::byte[]> content_;
  std::size_t length_ = 0;
  std::size_t stored_capacity_;
  std::unique_ptr<std::byte[]> stored_;
  std::size_t stored_length_ = 0;
  std::vector<std::uint32_t> lengths_;
  std::exception_ptr failure_;
};

}  // namespace varve::zfile
