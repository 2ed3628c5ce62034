#include "lsmt/layer_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace varve::lsmt {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::uint64_t kPieceSectors = 64;
constexpr std::size_t kEntriesInBlock = kHeaderBytes / sizeof(Mapping);

[[noreturn]] void fail(int error, const std::string& what) {
  throw io::FormatError(error, what + ": " + std::strerror(error));
}

// Entries as they go into the file: touching ones are joined as long as they stay below the limit.
class Entries {
 public:
  void add(const Mapping& mapping, unsigned layer) {
    if (!entries_.empty()) {
      const Mapping& last = entries_.back();
      const bool touches = last.end() == mapping.first() &&
                           last.data_end() == mapping.data_first() &&
                           last.is_zeroed() == mapping.is_zeroed() && last_layer_ == layer;
      const std::uint64_t count = last.count() + mapping.count();
      if (touches && count < kMappingSectorsMax) {
        const SectorRange range{last.first(), count};
        entries_.back() = last.is_zeroed() ? Mapping::zeros(range, last.data_first())
                                           : Mapping::data(range, last.data_first());
        return;
      }
    }
    entries_.push_back(mapping);
    last_layer_ = layer;
  }

  [[nodiscard]] const std::vector<Mapping>& all() const noexcept { return entries_; }

 private:
  std::vector<Mapping> entries_;
  unsigned last_layer_ = 0;
};

// Gathers data so that neither reading nor writing happens in small pieces.
class DataCopier {
 public:
  DataCopier(const FileOfLayer& file_of, const Output& output)
      : file_of_(file_of), output_(output), buffer_(kBufferBytes) {}

  void copy(const Mapping& mapping) {
    std::uint64_t offset = mapping.data_first() * kSectorSize;
    std::uint64_t left = mapping.count() * kSectorSize;
    const bool goes_on = mapping.layer() == layer_ && offset == pending_offset_ + pending_ &&
                         pending_ > 0;
    if (!goes_on) read_pending();
    layer_ = mapping.layer();
    while (left > 0) {
      if (filled_ + pending_ == buffer_.size()) flush();
      if (pending_ == 0) pending_offset_ = offset;
      const std::uint64_t step = std::min<std::uint64_t>(left, buffer_.size() - filled_ - pending_);
      pending_ += step;
      offset += step;
      left -= step;
    }
  }

  void flush() {
    read_pending();
    if (filled_ == 0) return;
    if (const int error = output_({buffer_.data(), filled_}); error != 0) {
      fail(-error, "cannot write the layer");
    }
    filled_ = 0;
  }

 private:
  void read_pending() {
    if (pending_ == 0) return;
    const io::File& file = file_of_(layer_);
    const int error = file.read({buffer_.data() + filled_, pending_}, pending_offset_);
    if (error != 0) {
      fail(-error, file.name() + ": cannot read the data of a layer at " +
                       std::to_string(pending_offset_));
    }
    filled_ += pending_;
    pending_ = 0;
  }

  const FileOfLayer& file_of_;
  const Output& output_;
  std::vector<std::byte> buffer_;
  std::size_t filled_ = 0;   // read
  std::size_t pending_ = 0;  // to be read behind that, all from one place
  std::uint64_t pending_offset_ = 0;
  unsigned layer_ = 0;
};

}  // namespace

int write_index(const std::vector<Mapping>& entries, std::size_t padded_entries,
                const Output& output) {
  const std::vector<Mapping> padding((padded_entries - entries.size() % padded_entries) %
                                     padded_entries);
  for (const std::vector<Mapping>* part : {&entries, &padding}) {
    if (part->empty()) continue;
    if (const int error = output(std::as_bytes(std::span(*part))); error != 0) return error;
  }
  return 0;
}

void write_layer(const MappingArray& mappings, const FileOfLayer& file_of,
                 const LayerOptions& options, const Output& output) {
  if (options.user_tag.size() > kUserTagMax) {
    throw io::FormatError(E2BIG, "the user tag is longer than 256 bytes");
  }
  Header header;
  header.is_header = true;
  header.is_data = true;
  header.is_sealed = true;
  header.virtual_size = options.virtual_size;
  header.uuid = options.uuid;
  header.parent_uuid = options.parent_uuid;
  header.user_tag = options.user_tag;
  if (const int error = output(header.encode()); error != 0) fail(-error, "cannot write the layer");

  Entries entries;
  DataCopier copier(file_of, output);
  std::uint64_t position = kHeaderSectors;
  for (const Mapping& mapping : mappings) {
    if (mapping.is_zeroed()) {
      entries.add(Mapping::zeros(mapping.range(), position), mapping.layer());
    } else {
      copier.copy(mapping);
      for (std::uint64_t at = 0; at < mapping.count(); at += kPieceSectors) {
        const std::uint64_t count = std::min(kPieceSectors, mapping.count() - at);
        entries.add(Mapping::data({mapping.first() + at, count}, position), mapping.layer());
        position += count;
      }
    }
  }
  copier.flush();

  const std::size_t count =
      (entries.all().size() + kEntriesInBlock - 1) / kEntriesInBlock * kEntriesInBlock;
  if (count > options.mappings_max) {
    throw io::FormatError(EFBIG, "the layer needs " + std::to_string(count) +
                                     " index entries, more than readers take (" +
                                     std::to_string(options.mappings_max) + ")");
  }
  header.is_header = false;
  header.index_offset = position * kSectorSize;
  header.index_count = count;
  int error = write_index(entries.all(), kEntriesInBlock, output);
  if (error == 0) error = output(header.encode());
  if (error != 0) fail(-error, "cannot write the layer");
}

void merge_stack(const ReadOnlyStack& stack, LayerOptions options, const Output& output) {
  if (options.virtual_size == 0) options.virtual_size = stack.size();
  if (options.parent_uuid.empty()) options.parent_uuid = stack.layers().front().header.parent_uuid;
  write_layer(
      stack.index().mappings(),
      [&stack](unsigned layer) -> const io::File& { return *stack.layers()[layer].file; }, options,
      output);
}

}  // namespace varve::lsmt
