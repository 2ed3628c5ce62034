#include "lsmt/read_only_layer.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

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

// Drops padding and empty entries, checks all others.
void check_entries(const io::File& file, MappingArray& mappings, std::uint64_t data_end) {
  std::uint64_t previous_end = 0;
  std::size_t kept = 0;
  for (std::size_t at = 0; at < mappings.size(); ++at) {
    const Mapping mapping = mappings[at].with_layer(0);
    if (mapping.is_padding() || mapping.count() == 0) continue;
    if (mapping.first() < previous_end) {
      refuse(file, "index entry " + std::to_string(at) + " overlaps the one before or is out of " +
                       "order: sector " + std::to_string(mapping.first()));
    }
    // Where zeros would lie counts for nothing.
    if (!mapping.is_zeroed() &&
        (mapping.data_first() < kHeaderSectors || mapping.data_end() > data_end)) {
      refuse(file, "index entry " + std::to_string(at) + " points outside of the data: sector " +
                       std::to_string(mapping.data_first()));
    }
    previous_end = mapping.end();
    mappings[kept++] = mapping;
  }
  mappings.shrink(kept);
}

}  // namespace

ReadOnlyLayer open_read_only_layer(std::shared_ptr<const io::File> file) {
  ReadOnlyLayer layer;
  layer.header = read_header(*file, "data");
  if (!layer.header.is_data) refuse(*file, "the index of a writable layer, not its data");
  if (file->size() < 2 * kHeaderBytes) refuse(*file, "too short for a finished layer");
  const std::uint64_t trailer_offset = file->size() - kHeaderBytes;
  layer.trailer = read_trailer(*file, trailer_offset);
  layer.mappings = MappingArray(layer.trailer.index_count);
  const auto entries = std::as_writable_bytes(layer.mappings.fill(layer.trailer.index_count));
  if (const int error = file->read(entries, layer.trailer.index_offset); error != 0) {
    throw io::FormatError(-error,
                          file->name() + ": cannot read the index: " + std::strerror(-error));
  }
  check_entries(*file, layer.mappings, layer.trailer.index_offset / kSectorSize);
  layer.file = std::move(file);
  return layer;
}

}  // namespace varve::lsmt
