#include "lsmt/writable_layer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "lsmt/index.h"

namespace varve::lsmt {

namespace {

// An entry can map a little less than 8 MiB.
constexpr std::size_t kWriteMax = std::size_t{4} << 20;
// Of what comes behind data that is durable: the blocks of file systems.
constexpr std::uint64_t kAppendAlignment = 4096;
constexpr std::size_t kEntriesAtOnce = 65536;
constexpr std::size_t kEntriesInSector = kSectorSize / sizeof(Mapping);

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

void check(int error, const io::File& file, const std::string& what) {
  if (error != 0) throw io::FormatError(-error, file.name() + ": " + what + std::strerror(-error));
}

bool is_same_uuid(const Uuid& one, const Uuid& other) {
  if (one == other) return true;
  const std::optional<Uuid> parsed = parse_uuid(one);
  return parsed && parsed == parse_uuid(other);
}

// Whether the trailer at the end is that of this file. Others may be there: somebody may have
// written a finished layer into the disk. They say where their index lies in that layer, which is
// elsewhere in this file.
bool is_sealed_in_place(const Header& header, const io::File& data) {
  if (data.size() < 2 * kHeaderBytes) return false;
  const std::uint64_t offset = data.size() - kHeaderBytes;
  HeaderBlock block;
  check(data.read(block, offset), data, "cannot read the end: ");
  const std::optional<Header> trailer = Header::decode(block);
  if (!trailer || trailer->is_header || !trailer->is_data || !trailer->is_sealed ||
      trailer->is_sparse != header.is_sparse || !is_same_uuid(trailer->uuid, header.uuid)) {
    return false;
  }
  // The division keeps a huge count from overflowing.
  return trailer->index_offset <= offset &&
         trailer->index_count <= (offset - trailer->index_offset) / sizeof(Mapping) &&
         round_up(trailer->index_offset + trailer->index_count * sizeof(Mapping), kSectorSize) ==
             offset;
}

Header index_header(const Header& data) {
  Header header = data;
  header.is_data = false;
  header.is_sparse = false;
  header.index_offset = kHeaderBytes;
  return header;
}

std::string uuid_text(const Uuid& uuid) { return uuid.empty() ? "none" : uuid; }

}  // namespace

// The size is no part of it: a resize that broke off between the two headers leaves two sizes.
std::string pair_defect(const Header& data, const Header& index) {
  if (!is_same_uuid(data.uuid, index.uuid)) {
    return "its uuid is " + uuid_text(index.uuid) + ", that of the data is " +
           uuid_text(data.uuid);
  }
  if (is_same_uuid(data.parent_uuid, index.parent_uuid)) return {};
  return "its parent uuid is " + uuid_text(index.parent_uuid) + ", that of the data is " +
         uuid_text(data.parent_uuid);
}

bool is_blank_index(const io::File& index) {
  if (index.size() < kHeaderBytes) return true;
  HeaderBlock block;
  check(index.read(block, 0), index, "cannot read the index: ");
  return std::all_of(block.begin(), block.end(), [](std::byte byte) { return byte == std::byte{}; });
}

WritableLayer::WritableLayer(std::unique_ptr<io::WritableFile> data,
                             std::unique_ptr<io::WritableFile> index)
    : data_(std::move(data)), index_file_(std::move(index)) {}

std::unique_ptr<WritableLayer> WritableLayer::create(std::unique_ptr<io::WritableFile> data,
                                                     std::unique_ptr<io::WritableFile> index,
                                                     const NewLayer& layer) {
  if (layer.virtual_size > kVirtualSizeMax) {
    throw io::FormatError(EINVAL, "a virtual disk has at most 2^59-512 bytes");
  }
  if (layer.user_tag.size() > kUserTagMax) {
    throw io::FormatError(E2BIG, "the user tag is longer than 256 bytes");
  }
  for (const io::File* file : {static_cast<const io::File*>(data.get()),
                               static_cast<const io::File*>(index.get())}) {
    if (file->size() != 0) throw io::FormatError(EEXIST, file->name() + ": is not empty");
  }
  std::unique_ptr<WritableLayer> made(new WritableLayer(std::move(data), std::move(index)));
  Header& header = made->header_;
  header.is_header = true;
  header.is_data = true;
  header.is_sparse = layer.is_sparse;
  header.virtual_size = layer.virtual_size;
  header.uuid = layer.uuid.empty() ? random_uuid() : layer.uuid;
  header.parent_uuid = layer.parent_uuid;
  header.user_tag = layer.user_tag;
  made->virtual_size_ = layer.virtual_size;
  if (layer.is_sparse) {
    check(made->data_->resize(kHeaderBytes + layer.virtual_size), *made->data_, "cannot make: ");
  }
  check(made->data_->write(header.encode(), 0), *made->data_, "cannot write the header: ");
  check(made->index_file_->write(index_header(header).encode(), 0), *made->index_file_,
        "cannot write the header: ");
  made->data_end_ = kHeaderBytes;
  made->index_end_ = kHeaderBytes;
  check(made->flush(), *made->data_, "cannot write the header: ");
  return made;
}

bool was_sealed(const io::File& data) {
  const Header header = read_header(data, "data");
  return header.is_data && !header.is_sealed && is_sealed_in_place(header, data);
}

std::unique_ptr<WritableLayer> WritableLayer::open(std::unique_ptr<io::WritableFile> data,
                                                   std::unique_ptr<io::WritableFile> index,
                                                   LostData lost_data) {
  std::unique_ptr<WritableLayer> layer(new WritableLayer(std::move(data), std::move(index)));
  Header& header = layer->header_;
  header = read_header(*layer->data_, "data");
  if (!header.is_data) refuse(*layer->data_, "the index of a writable layer, not its data");
  if (header.is_sealed) refuse(*layer->data_, "a finished layer, which cannot be written");
  if (is_sealed_in_place(header, *layer->data_)) {
    refuse(*layer->data_,
           "was sealed: a finished layer now, which is read alone or as a lower layer, and cannot be "
           "written");
  }
  layer->data_end_ = round_up(layer->data_->size(), kAppendAlignment);
  if (header.is_sparse && is_blank_index(*layer->index_file_)) {
    layer->load_holes();
  } else {
    layer->load_entries(lost_data);
  }
  layer->virtual_size_ = header.virtual_size;
  return layer;
}

void WritableLayer::load_entries(LostData lost_data) {
  const Header header = read_header(*index_file_, "index");
  if (header.is_data) refuse(*index_file_, "the data of a layer, not its index");
  if (header.is_sealed || header.index_offset != kHeaderBytes) {
    refuse(*index_file_, "not the index of a writable layer");
  }
  if (const std::string defect = pair_defect(header_, header); !defect.empty()) {
    refuse(*index_file_, "belongs to another data file than " + data_->name() + ": " + defect);
  }
  // Resizing writes this one first.
  if (!header_.is_sparse) header_.virtual_size = header.virtual_size;
  const std::uint64_t count = (index_file_->size() - kHeaderBytes) / sizeof(Mapping);
  if (count > Index::kMappingsMax) refuse(*index_file_, "has more entries than are supported");
  // What is left of a torn append is written over.
  index_end_ = kHeaderBytes + count * sizeof(Mapping);

  const std::uint64_t data_sectors = data_->size() / kSectorSize;
  std::vector<Mapping> entries(std::min<std::uint64_t>(count, kEntriesAtOnce));
  for (std::uint64_t done = 0; done < count;) {
    const std::size_t step = std::min<std::uint64_t>(count - done, entries.size());
    check(index_file_->read(std::as_writable_bytes(std::span(entries.data(), step)),
                            kHeaderBytes + done * sizeof(Mapping)),
          *index_file_, "cannot read the entries: ");
    for (std::size_t at = 0; at < step; ++at) {
      const Mapping entry = entries[at].with_layer(0);
      if (entry.is_padding() || entry.count() == 0) continue;
      if (check_entry(entry, done + at, data_sectors, lost_data)) index_.put(entry);
    }
    done += step;
  }
  if (header_.is_sparse) check_sparse_end(data_sectors);
}

// Only what counts in the end: a disk that became smaller leaves entries behind its end, which later
// ones cover. A sparse file has its full length from the start, so no lost power makes it short.
void WritableLayer::check_sparse_end(std::uint64_t data_sectors) const {
  const std::uint64_t end = data_sectors - kHeaderSectors;
  Found found;
  for (std::uint64_t sector = end; sector < kSectorMax;) {
    index_.find({sector, kSectorMax - sector}, found);
    for (std::size_t at = 0; at < found.count; ++at) {
      const Mapping& mapping = found.mappings[at];
      if (!mapping.is_zeroed()) {
        refuse(*index_file_, "sector " + std::to_string(mapping.first()) +
                                 " lies behind the end of " + data_->name());
      }
      sector = mapping.end();
    }
    if (found.count < kFoundMax) return;
  }
}

bool WritableLayer::check_entry(const Mapping& entry, std::uint64_t number,
                                std::uint64_t data_sectors, LostData lost_data) {
  const std::string which = "entry " + std::to_string(number);
  if (entry.is_zeroed()) return true;
  if (entry.data_first() < kHeaderSectors) {
    refuse(*index_file_, which + " points into the header of the data");
  }
  if (header_.is_sparse) {
    if (entry.data_first() == entry.first() + kHeaderSectors) return true;
    refuse(*index_file_, which + " points elsewhere than to its own place in a sparse file");
  }
  if (entry.data_end() <= data_sectors) return true;
  if (lost_data == LostData::kRefuse) {
    refuse(*index_file_, which + " points behind the end of " + data_->name() +
                             ": it was cut off, or power was lost before a write was flushed");
  }
  ++dropped_entries_;
  lost_entries_.push_back(number);
  return false;
}

void WritableLayer::load_holes() {
  std::vector<io::ByteRange> ranges;
  check(data_->data_ranges(ranges), *data_, "cannot find the holes: ");
  const std::uint64_t file_sectors = data_->size() / kSectorSize;
  for (const io::ByteRange& range : ranges) {
    std::uint64_t first = std::max(range.offset / kSectorSize, kHeaderSectors);
    const std::uint64_t end = std::min(
        round_up(std::min(range.offset + range.length, data_->size()), kSectorSize) / kSectorSize,
        file_sectors);
    while (first < end) {
      const std::uint64_t count = std::min(kMappingSectorsMax, end - first);
      index_.put(Mapping::data({first - kHeaderSectors, count}, first));
      first += count;
    }
  }
}

Header WritableLayer::header() const {
  Header header = header_;
  header.virtual_size = virtual_size_;
  return header;
}

void WritableLayer::lies_on(std::shared_ptr<const ReadOnlyStack> below) {
  below_ = std::move(below);
  is_below_known_ = true;
}

void WritableLayer::find(SectorRange range, Found& found) const {
  const std::shared_lock lock(mutex_);
  index_.find(range, found);
}

std::size_t WritableLayer::mapping_count() const {
  const std::shared_lock lock(mutex_);
  return index_.size();
}

int WritableLayer::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (offset % kSectorSize != 0 || length % kSectorSize != 0) return -EINVAL;
  // The last sector of a disk may be less than a whole one.
  const std::uint64_t size = round_up(virtual_size_, kSectorSize);
  return offset > size || length > size - offset ? -ENOSPC : 0;
}

// The header comes last: without it the file counts as empty, and the holes count again.
int WritableLayer::write_whole_index() {
  const MappingArray mappings = index_.to_array();
  const auto bytes = std::as_bytes(std::span(mappings.data(), mappings.size()));
  if (const int error = index_file_->resize(0); error != 0) return error;
  if (const int error = index_file_->resize(kHeaderBytes); error != 0) return error;
  if (const int error = index_file_->write(bytes, kHeaderBytes); error != 0) return error;
  if (const int error = index_file_->sync(); error != 0) return error;
  if (const int error = index_file_->write(index_header(header()).encode(), 0); error != 0) {
    return error;
  }
  index_end_ = kHeaderBytes + bytes.size();
  return 0;
}

// Once there is data again where they point, nothing would tell them from others.
int WritableLayer::erase_lost_entries() {
  if (lost_entries_.empty()) return 0;
  const Mapping padding;
  for (const std::uint64_t number : lost_entries_) {
    const int error = index_file_->write(std::as_bytes(std::span(&padding, 1)),
                                         kHeaderBytes + number * sizeof padding);
    if (error != 0) return error;
  }
  if (const int error = index_file_->sync(); error != 0) return error;
  lost_entries_.clear();
  return 0;
}

int WritableLayer::put(const Mapping& mapping) {
  if (is_sealed_) return -EROFS;
  if (index_end_ == 0) {
    if (const int error = write_whole_index(); error != 0) return error;
  }
  const int error = index_file_->write(std::as_bytes(std::span(&mapping, 1)), index_end_);
  if (error != 0) return error;
  index_end_ += sizeof mapping;
  index_.put(mapping);
  return 0;
}

int WritableLayer::write(std::span<const std::byte> source, std::uint64_t offset) {
  if (const int error = check_range(offset, source.size()); error != 0) return error;
  while (!source.empty()) {
    const std::size_t length = std::min(source.size(), kWriteMax);
    if (const int error = write_piece(source.first(length), offset); error != 0) return error;
    source = source.subspan(length);
    offset += length;
  }
  return 0;
}

int WritableLayer::write_piece(std::span<const std::byte> source, std::uint64_t offset) {
  return header_.is_sparse ? write_in_place(source, offset) : append(source, offset);
}

int WritableLayer::write_in_place(std::span<const std::byte> source, std::uint64_t offset) {
  const SectorRange range{offset / kSectorSize, source.size() / kSectorSize};
  // Shared with other writes, but not with sealing, resizing, or a discard's hole.
  std::shared_lock writing(mutex_);
  if (is_sealed_) return -EROFS;
  if (check_range(offset, source.size()) != 0) return -ENOSPC;
  if (const int error = data_->write(source, kHeaderBytes + offset); error != 0) return error;
  if (index_.is_all_data(range)) return 0;
  writing.unlock();
  const std::unique_lock lock(mutex_);
  // The disk may have become smaller in between.
  if (check_range(offset, source.size()) != 0) return -ENOSPC;
  return put(Mapping::data(range, range.first + kHeaderSectors));
}

int WritableLayer::append(std::span<const std::byte> source, std::uint64_t offset) {
  std::uint64_t position = 0;
  {
    const std::unique_lock lock(mutex_);
    if (is_sealed_) return -EROFS;
    if (const int error = erase_lost_entries(); error != 0) return error;
    position = data_end_;
    data_end_ += source.size();
  }
  // Outside of the lock: nobody else writes there, and nobody reads before the entry is in.
  if (const int error = data_->write(source, position); error != 0) return error;
  const std::unique_lock lock(mutex_);
  return put(Mapping::data({offset / kSectorSize, source.size() / kSectorSize},
                           position / kSectorSize));
}

int WritableLayer::discard(const io::ByteRange& range) {
  if (const int error = check_range(range.offset, range.length); error != 0) return error;
  const std::unique_lock lock(mutex_);
  return discard_locked(range);
}

int WritableLayer::discard_locked(const io::ByteRange& range) {
  if (is_sealed_) return -EROFS;
  std::uint64_t sector = range.offset / kSectorSize;
  const std::uint64_t end = sector + range.length / kSectorSize;
  while (true) {
    sector = first_data({sector, end - sector});
    if (sector == end) break;
    const std::uint64_t count = std::min(kMappingSectorsMax, end - sector);
    const std::uint64_t position =
        header_.is_sparse ? sector + kHeaderSectors : data_end_ / kSectorSize;
    if (const int error = put(Mapping::zeros({sector, count}, position)); error != 0) return error;
    sector += count;
  }
  if (!header_.is_sparse || range.length == 0) return 0;
  return data_->punch_hole({kHeaderBytes + range.offset, range.length});
}

std::uint64_t WritableLayer::first_data(SectorRange range) const {
  if (!is_below_known_) return range.first;
  Found found;
  for (std::uint64_t sector = range.first; sector < range.end();) {
    index_.find({sector, range.end() - sector}, found);
    for (std::size_t at = 0; at < found.count; ++at) {
      const Mapping& mapping = found.mappings[at];
      const std::uint64_t below = first_data_below({sector, mapping.first() - sector});
      if (below < mapping.first() || !mapping.is_zeroed()) return below;
      sector = mapping.end();
    }
    if (found.count < kFoundMax) return first_data_below({sector, range.end() - sector});
  }
  return range.end();
}

std::uint64_t WritableLayer::first_data_below(SectorRange range) const {
  Found found;
  for (std::uint64_t sector = range.first; below_ && sector < range.end();) {
    below_->index().find({sector, range.end() - sector}, found);
    for (std::size_t at = 0; at < found.count; ++at) {
      if (!found.mappings[at].is_zeroed()) return found.mappings[at].first();
      sector = found.mappings[at].end();
    }
    if (found.count < kFoundMax) break;
  }
  return range.end();
}

int WritableLayer::write_zeroes(const io::ByteRange& range) {
  if (!header_.is_sparse) return discard(range);
  const std::unique_lock lock(mutex_);
  if (is_sealed_) return -EROFS;
  if (const int error = check_range(range.offset, range.length); error != 0) return error;
  const int zeroing = data_->zero_range({kHeaderBytes + range.offset, range.length});
  if (zeroing != 0) return zeroing;
  std::uint64_t first = range.offset / kSectorSize;
  const std::uint64_t end = first + range.length / kSectorSize;
  while (first < end) {
    const SectorRange piece{first, std::min(kMappingSectorsMax, end - first)};
    if (!index_.is_all_data(piece)) {
      const int error = put(Mapping::data(piece, first + kHeaderSectors));
      if (error != 0) return error;
    }
    first = piece.end();
  }
  return 0;
}

int WritableLayer::flush() {
  {
    // A file system that has the block of the file's end on disk counts what is appended to it as
    // there before it is, and its entry would show zeros in place of what was flushed.
    const std::unique_lock lock(mutex_);
    data_end_ = round_up(data_end_, kAppendAlignment);
  }
  return sync_files();
}

int WritableLayer::sync_files() {
  if (const int error = data_->sync(); error != 0) return error;
  return index_file_->sync();
}

int WritableLayer::resize(std::uint64_t virtual_size) {
  if (virtual_size > kVirtualSizeMax) return -EINVAL;
  const std::unique_lock lock(mutex_);
  if (is_sealed_) return -EROFS;
  const std::uint64_t end = round_up(virtual_size_, kSectorSize);
  const std::uint64_t new_end = round_up(virtual_size, kSectorSize);
  if (new_end < end) {
    if (const int error = discard_locked({new_end, end - new_end}); error != 0) return error;
  }
  if (header_.is_sparse) {
    // Entries behind the end of the file must not come back alone.
    if (const int error = index_file_->sync(); error != 0) return error;
    if (const int error = data_->resize(kHeaderBytes + new_end); error != 0) return error;
  }
  Header header = header_;
  header.virtual_size = virtual_size;
  if (index_end_ != 0) {
    const int error = index_file_->write(index_header(header).encode(), 0);
    if (error != 0) return error;
  }
  if (const int error = data_->write(header.encode(), 0); error != 0) return error;
  virtual_size_ = virtual_size;
  return sync_files();
}

// Zeros behind the end of the disk, which a smaller one leaves, are for what a larger layer on top
// would show; where nothing lies below, that is nothing.
MappingArray WritableLayer::mappings_to_finish() const {
  MappingArray mappings = index_.to_array();
  if (!is_below_known_) return mappings;
  const std::uint64_t end = round_up(virtual_size_, kSectorSize) / kSectorSize;
  std::size_t kept = 0;
  for (std::size_t at = 0; at < mappings.size(); ++at) {
    const Mapping mapping = mappings[at];
    const bool is_needless = mapping.first() >= end && mapping.is_zeroed() &&
                             first_data_below(mapping.range()) == mapping.end();
    if (!is_needless) mappings[kept++] = mapping;
  }
  mappings.shrink(kept);
  return mappings;
}

void WritableLayer::commit(LayerOptions options, const Output& output) const {
  MappingArray mappings;
  {
    const std::shared_lock lock(mutex_);
    mappings = mappings_to_finish();
  }
  if (options.virtual_size == 0) options.virtual_size = virtual_size_;
  if (options.parent_uuid.empty()) options.parent_uuid = header_.parent_uuid;
  write_layer(
      mappings, [this](unsigned) -> const io::File& { return *data_; }, options, output);
}

void WritableLayer::seal() {
  const std::unique_lock lock(mutex_);
  if (is_sealed_) refuse(*data_, "is sealed already");
  const MappingArray mappings = mappings_to_finish();
  if (mappings.size() > kReadersMappingsMax) {
    throw io::FormatError(EFBIG, data_->name() + ": has " + std::to_string(mappings.size()) +
                                     " mappings, more than readers take (" +
                                     std::to_string(kReadersMappingsMax) +
                                     "); a commit, which joins neighbours, may have fewer");
  }
  const auto checked = [this](int error) { check(error, *data_, "cannot be sealed: "); };
  Header trailer = header();
  trailer.is_header = false;
  trailer.is_sealed = true;
  trailer.index_offset = header_.is_sparse ? round_up(data_->size(), kSectorSize) : data_end_;
  trailer.index_count = mappings.size();
  std::uint64_t position = trailer.index_offset;
  const Output at_end = [this, &position](std::span<const std::byte> bytes) {
    const int error = data_->write(bytes, position);
    position += bytes.size();
    return error;
  };
  // Overlaybd refuses zeros that have a place outside of the data, though nothing is there: in a
  // sparse file that became shorter, or behind data that was lost.
  std::vector<Mapping> entries(mappings.begin(), mappings.end());
  for (Mapping& entry : entries) {
    if (!entry.is_zeroed()) continue;
    const std::uint64_t place =
        std::clamp(entry.data_first(), kHeaderSectors, trailer.index_offset / kSectorSize);
    entry = Mapping::zeros(entry.range(), place);
  }
  checked(write_index(entries, kEntriesInSector, at_end));
  // A trailer that is there says that all before it is.
  checked(data_->sync());
  checked(at_end(trailer.encode()));
  // A file that was longer, by a torn append, would end in something else than the trailer.
  if (data_->size() > position) checked(data_->resize(position));
  checked(data_->sync());
  is_sealed_ = true;
}

}  // namespace varve::lsmt
