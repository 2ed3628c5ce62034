#include "lsmt/read_only_layer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "lsmt/index.h"

namespace varve::lsmt {

namespace {

Header read_trailer(const io::File& file, std::uint64_t offset) {
  HeaderBlock block;
  if (const int error = file.read(block, offset); error != 0) {
    throw io::FormatError(-error,
                          file.name() + ": cannot read the trailer: " + std::strerror(-error));
  }
  const std::optional<Header> trailer = Header::decode(block);
  if (!trailer) refuse(file, "the trailer is missing: cut off, or still being written");
  if (trailer->is_header || !trailer->is_data || !trailer->is_sealed) {
    refuse(file, "the trailer is not that of a finished layer");
  }
  if (trailer->virtual_size > kVirtualSizeMax) {
    refuse(file, "the trailer says a virtual size that no mapping can reach: " +
                     std::to_string(trailer->virtual_size));
  }
  if (trailer->index_offset < kHeaderBytes || trailer->index_offset > offset ||
      trailer->index_offset % kSectorSize != 0) {
    refuse(file, "the trailer says an index at " + std::to_string(trailer->index_offset) +
                     ", which is no place for one");
  }
  // The division keeps a huge count from overflowing.
  if (trailer->index_count > (offset - trailer->index_offset) / sizeof(Mapping) ||
      trailer->index_count > Index::kMappingsMax) {
    refuse(file, "the trailer says more index entries than there is room for: " +
                     std::to_string(trailer->index_count));
  }
  return *trailer;
}

// What the file says about its index is a claim, and in a compressed file a huge one takes little
// room. So memory follows the entries that were checked: at most four times what they take, and
// nothing for those that map nothing.
class IndexReader {
 public:
  IndexReader(const io::File& file, const Header& trailer)
      : file_(file),
        offset_(trailer.index_offset),
        count_(trailer.index_count),
        data_end_(trailer.index_offset / kSectorSize),
        capacity_(std::min(count_, kCapacityAtFirst)),
        mappings_(capacity_) {}

  MappingArray read() {
    for (std::uint64_t at = 0; at < count_; at += kPiece) {
      take(at, std::min(kPiece, count_ - at));
    }
    return std::move(mappings_);
  }

 private:
  // Entries: 4 MiB, and 1 MiB at once.
  static constexpr std::uint64_t kCapacityAtFirst = 1 << 18;
  static constexpr std::uint64_t kPiece = 1 << 16;

  // The entries from `first` on, behind those that were kept.
  void take(std::uint64_t first, std::size_t count) {
    const std::size_t before = mappings_.size();
    if (before + count > capacity_) {
      capacity_ = std::min(count_, capacity_ * 4);
      mappings_.grow(capacity_);
    }
    const std::span<Mapping> piece = mappings_.fill(before + count).subspan(before);
    const std::uint64_t offset = offset_ + first * sizeof(Mapping);
    if (const int error = file_.read(std::as_writable_bytes(piece), offset); error != 0) {
      throw io::FormatError(-error,
                            file_.name() + ": cannot read the index: " + std::strerror(-error));
    }
    std::size_t kept = 0;
    for (std::size_t at = 0; at < count; ++at) {
      const Mapping mapping = piece[at].with_layer(0);
      if (mapping.is_padding() || mapping.count() == 0) continue;
      check(mapping, first + at);
      piece[kept++] = mapping;
    }
    mappings_.shrink(before + kept);
  }

  void check(const Mapping& mapping, std::uint64_t number) {
    if (mapping.first() < previous_end_) {
      refuse(file_, "index entry " + std::to_string(number) +
                        " overlaps the one before or is out of order: sector " +
                        std::to_string(mapping.first()));
    }
    // Where zeros would lie counts for nothing.
    if (!mapping.is_zeroed() &&
        (mapping.data_first() < kHeaderSectors || mapping.data_end() > data_end_)) {
      refuse(file_, "index entry " + std::to_string(number) +
                        " points outside of the data: sector " +
                        std::to_string(mapping.data_first()));
    }
    previous_end_ = mapping.end();
  }

  const io::File& file_;
  std::uint64_t offset_;
  std::uint64_t count_;
  std::uint64_t data_end_;
  std::uint64_t capacity_;
  MappingArray mappings_;
  std::uint64_t previous_end_ = 0;
};

}  // namespace

ReadOnlyLayer open_read_only_layer(std::shared_ptr<const io::File> file) {
  ReadOnlyLayer layer;
  layer.header = read_header(*file, "data");
  if (!layer.header.is_data) refuse(*file, "the index of a writable layer, not its data");
  if (file->size() < 2 * kHeaderBytes) refuse(*file, "too short for a finished layer");
  const std::uint64_t trailer_offset = file->size() - kHeaderBytes;
  layer.trailer = read_trailer(*file, trailer_offset);
  layer.mappings = IndexReader(*file, layer.trailer).read();
  layer.file = std::move(file);
  return layer;
}

}  // namespace varve::lsmt
