#include "apply/block_store.h"

#include <cerrno>
#include <vector>

#include "io/bytes.h"

namespace varve::apply {

int StackStore::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  return stack_.read(destination, offset);
}

int StackStore::write(std::span<const std::byte> source, std::uint64_t offset) {
  return stack_.upper().write(source, offset);
}

int StackStore::discard(const io::ByteRange& range) { return stack_.upper().discard(range); }

bool StackStore::is_blank() const {
  return stack_.lower() == nullptr && stack_.upper().mapping_count() == 0;
}

int FileStore::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  return file_->read(destination, offset);
}

int FileStore::write(std::span<const std::byte> source, std::uint64_t offset) {
  // The file is a disk: it does not grow.
  if (!io::is_within(offset, source.size(), file_->size())) return -ENOSPC;
  return file_->write(source, offset);
}

int FileStore::discard(const io::ByteRange& range) {
  if (!io::is_within(range.offset, range.length, file_->size())) return -ENOSPC;
  return file_->punch_hole(range);
}

bool FileStore::is_blank() const {
  std::vector<io::ByteRange> ranges;
  return file_->data_ranges(ranges) == 0 && ranges.empty();
}

}  // namespace varve::apply
