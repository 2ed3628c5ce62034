#include "tools/lsmt_check.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "io/bytes.h"
#include "lsmt/header.h"
#include "lsmt/index.h"
#include "lsmt/layer_writer.h"
#include "lsmt/mapping.h"
#include "lsmt/writable_index.h"
#include "lsmt/writable_layer.h"
#include "tools/amounts.h"

namespace varve::tools {

namespace {

using lsmt::Header;
using lsmt::kHeaderBytes;
using lsmt::kHeaderSectors;
using lsmt::kSectorSize;
using lsmt::Mapping;


// Where in a header or trailer what readers do not look at lies, and where the last field ends.
constexpr std::size_t kSizeAt = 24;
constexpr std::size_t kFlagsAt = 28;
constexpr std::size_t kReservedAt = 130;
constexpr std::size_t kVersionAt = 132;
constexpr std::size_t kUserTagAt = 134;
constexpr std::size_t kFieldsEnd = kUserTagAt + lsmt::kUserTagMax;
constexpr std::uint32_t kKnownFlags = 0x17;
constexpr std::uint16_t kVersion = 0x0101;

std::string unreadable(int error) { return "cannot be read: " + io::error_text(-error); }

struct Block {
  lsmt::HeaderBlock bytes;
  Header header;
};

// What readers do not look at, and writers put there all the same.
void check_constants(const lsmt::HeaderBlock& bytes, std::uint64_t offset, const Place& place,
                     const std::string& what) {
  const std::byte* at = bytes.data();
  if (io::load<std::uint32_t>(at + kSizeAt) != kFieldsEnd) {
    place.note(offset + kSizeAt, "the " + what + " does not say that its fields have " +
                                     std::to_string(kFieldsEnd) + " bytes");
  }
  if ((io::load<std::uint32_t>(at + kFlagsAt) & ~kKnownFlags) != 0) {
    place.note(offset + kFlagsAt, "the " + what + " has flags that have no meaning");
  }
  if (io::load<std::uint16_t>(at + kReservedAt) != 0) {
    place.note(offset + kReservedAt, "reserved bytes of the " + what + " are not zero");
  }
  if (io::load<std::uint16_t>(at + kVersionAt) != kVersion) {
    place.note(offset + kVersionAt, "the " + what + " does not say version 1.1");
  }
  const auto rest = std::span(bytes).subspan(kFieldsEnd);
  if (std::ranges::any_of(rest, [](std::byte byte) { return byte != std::byte{}; })) {
    place.note(offset + kFieldsEnd, "unused bytes of the " + what + " are not zero");
  }
}

std::optional<Block> read_block(const io::File& file, std::uint64_t offset, const Place& place,
                                const std::string& what) {
  Block block;
  if (!io::is_within(offset, kHeaderBytes, file.size())) {
    place.defect(offset, "the file is too short for the " + what);
    return std::nullopt;
  }
  if (const int error = file.read(block.bytes, offset); error != 0) {
    place.defect(offset, "the " + what + " " + unreadable(error));
    return std::nullopt;
  }
  const std::optional<Header> header = Header::decode(block.bytes);
  if (!header) {
    place.defect(offset, "there is no " + what + ": its magic is missing");
    return std::nullopt;
  }
  block.header = *header;
  check_constants(block.bytes, offset, place, what);
  return block;
}

void check_uuid(const lsmt::Uuid& uuid, const char* what, std::uint64_t offset,
                const Place& place) {
  if (!uuid.empty() && !lsmt::parse_uuid(uuid)) {
    place.note(offset, std::string("the ") + what + " is none");
  }
}

void check_fields(const Header& header, std::uint64_t offset, const Place& place) {
  if (header.virtual_size > lsmt::kVirtualSizeMax) {
    place.defect(offset + 48, "no device can have " + count_text(header.virtual_size, "byte"));
  }
  check_uuid(header.uuid, "uuid", offset + 56, place);
  check_uuid(header.parent_uuid, "parent uuid", offset + 93, place);
}

// Of a layer's data file; what readers take is in the trailer, or in the file of the index.
void note_index_of_header(const Header& header, const Place& place) {
  if (header.index_offset != 0 || header.index_count != 0) {
    place.note(32, "the header has an index, which readers look for elsewhere");
  }
}

// Header and trailer of one layer say the same about it.
void compare(const Block& header_block, const Block& trailer_block, std::uint64_t offset,
             const Place& place) {
  const Header& header = header_block.header;
  const Header& trailer = trailer_block.header;
  const auto differ = [&](std::uint64_t field, const char* what) {
    place.defect(offset + field, "header, at " + std::to_string(field) +
                                     ", and trailer do not agree about the " + what);
  };
  if (header.is_sparse != trailer.is_sparse) differ(28, "kind of layer");
  if (header.virtual_size != trailer.virtual_size) differ(48, "virtual size");
  if (header.uuid != trailer.uuid) differ(56, "uuid");
  if (header.parent_uuid != trailer.parent_uuid) differ(93, "parent uuid");
  // All of it, also what lies behind the end of the text.
  const auto tag_of = [](const Block& block) {
    return std::span(block.bytes).subspan(kUserTagAt, lsmt::kUserTagMax);
  };
  if (!std::ranges::equal(tag_of(header_block), tag_of(trailer_block))) {
    differ(kUserTagAt, "user tag");
  }
}

// Calls `visit` with each entry and its offset; false if some cannot be read.
bool for_each_entry(const io::File& file, std::uint64_t offset, std::uint64_t count,
                    const Place& place,
                    const std::function<void(const Mapping&, std::uint64_t)>& visit) {
  constexpr std::uint64_t kAtOnce = 65536;
  std::vector<Mapping> entries(std::min(count, kAtOnce));
  for (std::uint64_t done = 0; done < count;) {
    const std::size_t step = std::min<std::uint64_t>(count - done, entries.size());
    const auto bytes = std::as_writable_bytes(std::span(entries).first(step));
    if (const int error = file.read(bytes, offset); error != 0) {
      place.defect(offset, "the index " + unreadable(error));
      return false;
    }
    for (std::size_t at = 0; at < step; ++at) {
      visit(entries[at].with_layer(0), offset + at * sizeof(Mapping));
    }
    done += step;
    offset += bytes.size();
  }
  return true;
}

std::string sectors_text(const Mapping& mapping) {
  return "sectors " + std::to_string(mapping.first()) + " to " + std::to_string(mapping.end());
}

// Notes come once for each kind: they concern the writer, not the entry.
class EntryRules {
 public:
  EntryRules(const Place& place, std::uint64_t data_end, std::uint64_t virtual_size)
      : place_(place),
        data_end_(data_end),
        disk_end_((virtual_size + kSectorSize - 1) / kSectorSize) {}

  // False for an entry that maps nothing.
  bool check(const Mapping& entry, std::uint64_t offset) {
    if (entry.is_padding()) return false;
    if (entry.count() == 0) {
      note_once(has_empty_, offset, "an index entry without sectors maps nothing");
      return false;
    }
    if (disk_end_ != 0 && entry.end() > disk_end_) {
      note_once(has_outside_, offset,
                "the index maps what lies behind the end of the device: " + sectors_text(entry));
    }
    const bool is_inside = entry.data_first() >= kHeaderSectors && entry.data_end() <= data_end_;
    if (entry.is_zeroed()) {
      if (!is_inside) {
        note_once(has_odd_zeros_, offset,
                  "zeros have a place outside of the data, for which overlaybd itself refuses the "
                  "layer");
      }
    } else if (!is_inside) {
      place_.defect(offset, "the index entry for " + sectors_text(entry) +
                                " points outside of the data, to sector " +
                                std::to_string(entry.data_first()));
    }
    return true;
  }

 private:
  void note_once(bool& is_said, std::uint64_t offset, const std::string& text) {
    if (!is_said) place_.note(offset, text);
    is_said = true;
  }

  const Place& place_;
  std::uint64_t data_end_;
  std::uint64_t disk_end_;
  bool has_empty_ = false;
  bool has_outside_ = false;
  bool has_odd_zeros_ = false;
};

void check_order(const Mapping& entry, std::uint64_t offset, std::uint64_t& previous_end,
                 const Place& place) {
  if (entry.first() < previous_end) {
    place.defect(offset, "the index entry for " + sectors_text(entry) +
                             " overlaps one before it, or is out of order");
  }
  previous_end = std::max(previous_end, entry.end());
}

bool check_trailer(const Header& trailer, std::uint64_t offset, const Place& place) {
  if (trailer.is_header || !trailer.is_data || !trailer.is_sealed) {
    place.defect(offset + 28, "the flags are not those of the trailer of a finished layer");
    return false;
  }
  check_fields(trailer, offset, place);
  if (trailer.index_offset < kHeaderBytes || trailer.index_offset > offset ||
      trailer.index_offset % kSectorSize != 0) {
    place.defect(offset + 32, "there can be no index at " + std::to_string(trailer.index_offset));
    return false;
  }
  if (trailer.index_count > (offset - trailer.index_offset) / sizeof(Mapping) ||
      trailer.index_count > lsmt::Index::kMappingsMax) {
    place.defect(offset + 40, "there is no room for " + std::to_string(trailer.index_count) +
                                  " index entries at " + std::to_string(trailer.index_offset));
    return false;
  }
  // Writers fill the last sector up, and the trailer follows.
  const std::uint64_t index_size = trailer.index_count * sizeof(Mapping);
  if (offset - trailer.index_offset >= index_size + kSectorSize) {
    place.defect(offset + 40, "the index of " + std::to_string(trailer.index_count) +
                                  " entries ends at " +
                                  std::to_string(trailer.index_offset + index_size) +
                                  ", and not at the trailer");
  }
  if (trailer.index_count > lsmt::kReadersMappingsMax) {
    place.note(offset + 40,
               "overlaybd itself takes no more than 1000000 index entries, and this "
               "layer has " +
                   std::to_string(trailer.index_count));
  }
  return true;
}

// Entries of a sparse layer point to their own place. That place may be gone where the disk became
// smaller, if later entries cover it.
void check_sparse_index(const io::File& index, std::uint64_t count, const Header& header,
                        std::uint64_t data_sectors, const Place& place) {
  EntryRules rules(place, std::numeric_limits<std::uint64_t>::max(), header.virtual_size);
  lsmt::WritableIndex result;
  for_each_entry(index, kHeaderBytes, count, place,
                 [&](const Mapping& entry, std::uint64_t offset) {
                   if (!rules.check(entry, offset)) return;
                   result.put(entry);
                   if (!entry.is_zeroed() && entry.data_first() != entry.first() + kHeaderSectors) {
                     place.defect(offset, "the index entry for " + sectors_text(entry) +
                                              " of a sparse layer points elsewhere than to "
                                              "its own place");
                   }
                 });
  const std::uint64_t end = data_sectors - kHeaderSectors;
  for (const Mapping& mapping : result.to_array()) {
    if (mapping.end() <= end || mapping.is_zeroed()) continue;
    place.defect(kHeaderBytes, "in the end the index maps " + sectors_text(mapping) +
                                   ", for which the data file is too short");
    return;
  }
}

}  // namespace

std::uint64_t check_finished_layer(const io::File& file, const Place& place) {
  const std::optional<Block> begin = read_block(file, 0, place, "header of a layer");
  if (!begin) return 0;
  const Header* header = &begin->header;
  if (!header->is_header || !header->is_data) {
    place.defect(28, "the flags are not those of the header of a layer");
  }
  check_fields(*header, 0, place);
  note_index_of_header(*header, place);
  if (file.size() < 2 * kHeaderBytes) {
    place.defect(file.size(), "the file is too short for the trailer of a layer");
    return 0;
  }
  const std::uint64_t trailer_offset = file.size() - kHeaderBytes;
  const std::optional<Block> end = read_block(file, trailer_offset, place, "trailer of a layer");
  if (!end || !check_trailer(end->header, trailer_offset, place)) return 0;
  compare(*begin, *end, trailer_offset, place);
  const Header* trailer = &end->header;

  EntryRules rules(place, trailer->index_offset / kSectorSize, trailer->virtual_size);
  std::uint64_t previous_end = 0;
  for_each_entry(file, trailer->index_offset, trailer->index_count, place,
                 [&](const Mapping& entry, std::uint64_t offset) {
                   if (rules.check(entry, offset)) check_order(entry, offset, previous_end, place);
                 });
  return trailer->index_count;
}

std::uint64_t check_writable_layer(const io::File& data, const io::File* index,
                                   const Place& data_place, const Place& index_place) {
  const std::optional<Block> begin = read_block(data, 0, data_place, "header of a layer");
  if (!begin) return 0;
  const Header* header = &begin->header;
  check_fields(*header, 0, data_place);
  note_index_of_header(*header, data_place);
  if (index == nullptr || (header->is_sparse && lsmt::is_blank_index(*index))) {
    if (!header->is_sparse) {
      data_place.defect(0,
                        "an append-only layer is nothing without its index; name it with "
                        "--index");
    }
    return 0;
  }
  const std::optional<Block> block = read_block(*index, 0, index_place, "header of an index");
  if (!block) return 0;
  const Header* own = &block->header;
  check_fields(*own, 0, index_place);
  if (!own->is_header || own->is_data || own->is_sealed || own->index_offset != kHeaderBytes) {
    index_place.defect(28, "this is not the index of a writable layer");
    return 0;
  }
  if (const std::string defect = lsmt::pair_defect(*header, *own); !defect.empty()) {
    index_place.defect(56, "this is the index of another data file than " + data.name() + ": " +
                               defect);
    return 0;
  }
  if (own->virtual_size != header->virtual_size) {
    index_place.note(48, "the index says " + count_text(own->virtual_size, "byte") +
                             ", the data file " + count_text(header->virtual_size, "byte") +
                             ": a resize broke off, and is to be done again");
  }
  const std::uint64_t bytes = index->size() - kHeaderBytes;
  const std::uint64_t count = bytes / sizeof(Mapping);
  if (bytes % sizeof(Mapping) != 0) {
    index_place.note(kHeaderBytes + count * sizeof(Mapping),
                     "the last entry is incomplete; the next write goes over it");
  }
  if (count > lsmt::Index::kMappingsMax) {
    index_place.defect(kHeaderBytes, "no reader takes " + std::to_string(count) + " entries");
    return 0;
  }
  if (header->is_sparse) {
    check_sparse_index(*index, count, *header, data.size() / kSectorSize, index_place);
    return count;
  }
  EntryRules rules(index_place, data.size() / kSectorSize, own->virtual_size);
  for_each_entry(*index, kHeaderBytes, count, index_place,
                 [&](const Mapping& entry, std::uint64_t offset) { rules.check(entry, offset); });
  return count;
}

}  // namespace varve::tools
