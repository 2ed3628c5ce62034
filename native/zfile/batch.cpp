#include "zfile/batch.h"

#include <algorithm>

#include "crc32c/crc32c.h"
#include "io/bytes.h"

namespace varve::zfile {

Batch::Batch(std::uint32_t block_size, bool has_sums)
    : block_size_(block_size),
      has_sums_(has_sums),
      content_(std::make_unique_for_overwrite<std::byte[]>(kBatchContent)),
      stored_capacity_(kBatchContent / block_size * (block_size + kExpansionMax + kSumSize)),
      stored_(std::make_unique_for_overwrite<std::byte[]>(stored_capacity_)) {
  lengths_.reserve(kBatchContent / block_size);
}

void Batch::compress(Compressor& compressor) noexcept {
  try {
    compress_blocks(compressor);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void Batch::compress_blocks(Compressor& compressor) {
  const std::span<std::byte> stored(stored_.get(), stored_capacity_);
  std::size_t at = 0;
  for (std::size_t begin = 0; begin < length_; begin += block_size_) {
    const std::size_t content_length = std::min<std::size_t>(block_size_, length_ - begin);
    const std::span<std::byte> room = stored.subspan(at, content_length + kExpansionMax);
    std::size_t length = compressor.compress({content_.get() + begin, content_length}, room);
    if (has_sums_) {
      io::store(stored.data() + at + length,
                crc32c::update(kBlockSumStart, stored.subspan(at, length)));
      length += kSumSize;
    }
    lengths_.push_back(static_cast<std::uint32_t>(length));
    at += length;
  }
  stored_length_ = at;
}

std::span<const std::byte> Batch::stored() const {
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  return {stored_.get(), stored_length_};
}

void Batch::clear() noexcept {
  length_ = 0;
  stored_length_ = 0;
  lengths_.clear();
  failure_ = nullptr;
}

}  // namespace varve::zfile
