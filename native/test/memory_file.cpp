#include "test/memory_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/bytes.h"

namespace varve::test {

int MemoryFile::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  if (!io::is_within(offset, destination.size(), size())) return -EINVAL;
  const std::uint64_t end = offset + destination.size();
  if (offset < unreadable_.offset + unreadable_.length && end > unreadable_.offset) return -EIO;
  std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), destination.size(),
              destination.begin());
  return 0;
}

int MemoryFile::write(std::span<const std::byte> source, std::uint64_t offset) {
  if (offset + source.size() > limit_) return -ENOSPC;
  content_.resize(std::max<std::size_t>(content_.size(), offset + source.size()));
  std::copy(source.begin(), source.end(), content_.begin() + static_cast<std::ptrdiff_t>(offset));
  return 0;
}

int MemoryFile::resize(std::uint64_t size) {
  if (size > limit_) return -ENOSPC;
  content_.resize(size);
  return 0;
}

int MemoryFile::punch_hole(const io::ByteRange& range) {
  if (!io::is_within(range.offset, range.length, size())) return -EINVAL;
  std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length,
              std::byte{0});
  return 0;
}

int MemoryFile::data_ranges(std::vector<io::ByteRange>& ranges) const {
  ranges.assign(content_.empty() ? 0 : 1, {0, content_.size()});
  return 0;
}

}  // namespace varve::test
