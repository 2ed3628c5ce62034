#include "apply/archive_reader.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string_view>
#include <utility>

#include "apply/apply_error.h"
#include "apply/archive_header.h"
#include "apply/blocks.h"

namespace varve::apply {

namespace {

// Pax headers with all the xattrs that an inode can have are far below this.
constexpr std::uint64_t kExtensionMax = std::uint64_t{1} << 20;
constexpr std::uint64_t kGlobalMax = std::uint64_t{64} << 10;
constexpr std::uint64_t kPathMax = 4096;
// Of any file system; keeps sums far from overflow.
constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 60;
constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";
constexpr std::string_view kSparsePrefix = "GNU.sparse.";

std::uint64_t padding_of(std::uint64_t size) {
  return (tar::kBlockSize - size % tar::kBlockSize) % tar::kBlockSize;
}

std::uint32_t owner_of(const PaxRecord& record) {
  const std::uint64_t number = pax_number(record);
  if (number > std::numeric_limits<std::uint32_t>::max()) {
    throw ApplyError(EINVAL, "its pax record " + quoted(record.key) + " is " + record.value +
                                 ", more than 32 bits");
  }
  return static_cast<std::uint32_t>(number);
}

void set_xattr(const PaxRecord& record, std::vector<Xattr>& xattrs) {
  std::string name = record.key.substr(kXattrPrefix.size());
  std::erase_if(xattrs, [&name](const Xattr& xattr) { return xattr.name == name; });
  xattrs.push_back({std::move(name), record.value});
}

// What pax records say about a sparse file; version 0.0 has a record for each number.
struct SparseRecords {
  bool is_sparse = false;
  bool has_lines = false;  // version 1.0
  std::uint64_t size = 0;
  std::optional<std::string> name;
  SparseMap map;
};

SparseRecords sparse_records(const std::vector<PaxRecord>& records) {
  SparseRecords sparse;
  SparseMapBuilder builder;
  std::uint64_t offset = 0;
  for (const PaxRecord& record : records) {
    if (!record.key.starts_with(kSparsePrefix)) continue;
    const std::string key = record.key.substr(kSparsePrefix.size());
    if (key == "major") {
      sparse.has_lines = record.value == "1";
      if (record.value != "1" && record.value != "0") {
        throw ApplyError(EOPNOTSUPP, "it is a sparse file of version " + quoted(record.value));
      }
    } else if (key == "size" || key == "realsize") {
      sparse.size = pax_number(record);
      sparse.is_sparse = true;
    } else if (key == "name") {
      sparse.name = record.value;
    } else if (key == "offset") {
      offset = pax_number(record);
    } else if (key == "numbytes") {
      builder.add(offset, pax_number(record));
    } else if (key == "map") {
      sparse.map = parse_sparse_list(record.value);
    }
  }
  if (SparseMap listed = builder.take(); !listed.empty()) sparse.map = std::move(listed);
  return sparse;
}

bool has_content(EntryType type) { return type == EntryType::kFile; }

}  // namespace

void ArchiveReader::skip(std::uint64_t count) {
  while (count > 0) {
    const std::size_t max = static_cast<std::size_t>(std::min<std::uint64_t>(count, 1 << 20));
    const std::size_t got = input_.next(max).size();
    if (got == 0) throw ApplyError(EINVAL, "the archive ends in the middle of its content");
    count -= got;
  }
}

std::span<const std::byte> ArchiveReader::content() {
  if (rest_ == 0) return {};
  const auto max = static_cast<std::size_t>(std::min<std::uint64_t>(rest_, 1 << 20));
  const std::span<const std::byte> bytes = input_.next(max);
  if (bytes.empty()) throw ApplyError(EINVAL, "the archive ends in the middle of its content");
  rest_ -= bytes.size();
  return bytes;
}

bool ArchiveReader::read_header(tar::Block& block) {
  entry_offset_ = input_.position();
  if (!read_all(input_, block) || is_zero_block(block)) return false;
  if (!tar::has_right_sum(block)) {
    throw ApplyError(EINVAL, entry_offset_ == 0
                                 ? "this is no tar: its first block is no header"
                                 : "its header is damaged: the sum over it is wrong");
  }
  return true;
}

std::string ArchiveReader::read_extension(const tar::Block& block) {
  const std::optional<tar::Header> header = tar::parse_header(block);
  if (!header) throw ApplyError(EINVAL, "an extended header is damaged: its size is no number");
  if (header->size > kExtensionMax) {
    throw ApplyError(EINVAL, "an extended header has " + std::to_string(header->size) +
                                 " bytes; at most 1 MiB is read");
  }
  std::string bytes(header->size, '\0');
  if (!bytes.empty() && !read_all(input_, std::as_writable_bytes(std::span(bytes)))) {
    throw ApplyError(EINVAL, "the archive ends in an extended header");
  }
  skip(padding_of(bytes.size()));
  return bytes;
}

bool ArchiveReader::take_extension(const tar::Block& block, Extensions& extensions) {
  // A name in GNU's way ends with its first zero byte.
  const auto text = [&] {
    std::string bytes = read_extension(block);
    bytes.resize(std::min(bytes.find('\0'), bytes.size()));
    return bytes;
  };
  switch (type_flag(block)) {
    case 'x':
    case 'X':
    case 'g': {
      const std::string bytes = read_extension(block);
      auto parsed = tar::parse_pax_records(std::as_bytes(std::span(bytes)));
      if (!parsed) {
        throw ApplyError(EINVAL, "its pax header is damaged: a record is not well formed");
      }
      std::vector<PaxRecord> records = std::move(*parsed);
      if (type_flag(block) == 'g') {
        add_global(std::move(records));
      } else {
        extensions.records = std::move(records);
      }
      return true;
    }
    case 'L':
      extensions.long_name = text();
      return true;
    case 'K':
      extensions.long_link = text();
      return true;
    default:
      return false;
  }
}

// Later records with the same key count, so that many headers need no more memory than one.
void ArchiveReader::add_global(std::vector<PaxRecord> records) {
  std::uint64_t total = 0;
  for (PaxRecord& record : records) {
    std::erase_if(global_records_,
                  [&record](const PaxRecord& known) { return known.key == record.key; });
    global_records_.push_back(std::move(record));
  }
  for (const PaxRecord& record : global_records_) total += record.key.size() + record.value.size();
  if (total > kGlobalMax) {
    throw ApplyError(EINVAL, "its global pax headers have more than 64 KiB of records");
  }
}

void ArchiveReader::apply_records(const std::vector<PaxRecord>& records, ArchiveEntry& entry) {
  for (const PaxRecord& record : records) {
    if (record.key.starts_with(kXattrPrefix)) {
      set_xattr(record, entry.xattrs);
    } else if (record.value.empty()) {
      continue;  // the header's own counts
    } else if (record.key == "path") {
      entry.path = record.value;
    } else if (record.key == "linkpath") {
      entry.link_target = record.value;
    } else if (record.key == "size") {
      entry.stored = pax_number(record);
    } else if (record.key == "uid") {
      entry.attributes.uid = owner_of(record);
    } else if (record.key == "gid") {
      entry.attributes.gid = owner_of(record);
    } else if (record.key == "mtime") {
      entry.attributes.time = pax_time(record);
    }
  }
}

void ArchiveReader::take_content(const tar::Block& block, const Extensions& extensions,
                                 ArchiveEntry& entry) {
  SparseRecords sparse = sparse_records(extensions.records);
  if (sparse.name) entry.path = *sparse.name;
  if (!has_content(entry.type)) {
    entry.stored = 0;
    return;
  }
  if (entry.stored > kSizeMax) {
    throw ApplyError(EFBIG, "it says that it has " + std::to_string(entry.stored) + " bytes");
  }
  padding_ = padding_of(entry.stored);
  if (type_flag(block) == 'S') {
    entry.size = old_sparse_size(block);
    entry.parts = read_old_sparse_map(block, input_);
  } else if (sparse.is_sparse) {
    entry.size = sparse.size;
    entry.parts = sparse.has_lines ? read_sparse_lines(input_, entry.stored)
                                   : std::move(sparse.map);
  } else {
    entry.size = entry.stored;
    entry.parts = {{0, entry.stored}};
  }
  check_sparse_map(entry.parts, entry.size, entry.stored);
  rest_ = entry.stored;
}

ArchiveEntry ArchiveReader::make_entry(const tar::Block& block, const Extensions& extensions) {
  ArchiveEntry entry = parse_archive_header(block);
  entry.offset = entry_offset_;
  apply_records(global_records_, entry);
  apply_records(extensions.records, entry);
  // As containerd has it; where both are there GNU tar takes pax's.
  if (!extensions.long_name.empty()) entry.path = extensions.long_name;
  if (!extensions.long_link.empty()) entry.link_target = extensions.long_link;
  // As tar had it before there was a type for it.
  if (type_flag(block) == '\0' && entry.path.ends_with('/')) entry.type = EntryType::kDirectory;
  entry_name_ = entry.path;
  take_content(block, extensions, entry);
  entry_name_ = entry.path;
  if (entry.path.size() > kPathMax || entry.link_target.size() > kPathMax) {
    throw ApplyError(ENAMETOOLONG, "its name or that of its link has more than 4096 bytes");
  }
  return entry;
}

std::optional<ArchiveEntry> ArchiveReader::next() {
  skip(rest_ + padding_);
  rest_ = padding_ = 0;
  entry_name_.clear();
  Extensions extensions;
  std::optional<std::uint64_t> first_offset;
  tar::Block block{};
  while (read_header(block)) {
    if (!first_offset) first_offset = entry_offset_;
    entry_offset_ = *first_offset;
    if (!take_extension(block, extensions)) return make_entry(block, extensions);
  }
  if (first_offset) {
    throw ApplyError(EINVAL, "the archive ends behind an extended header");
  }
  return std::nullopt;
}

}  // namespace varve::apply
