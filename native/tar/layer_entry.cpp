#include "tar/layer_entry.h"

#include <cerrno>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "io/slice_file.h"
#include "tar/header.h"
#include "tar/pax_records.h"

namespace varve::tar {

namespace {

// What may come before the first member: more is no layer that anybody made.
constexpr unsigned kHeadersMax = 16;
constexpr std::uint64_t kExtensionMax = 1 << 20;

[[noreturn]] void refuse(const io::File& file, const std::string& why, int error = EINVAL) {
  throw io::FormatError(error, file.name() + ": " + why);
}

std::string place(std::uint64_t offset) { return "the tar header at " + std::to_string(offset); }

void read_or_throw(const io::File& file, std::span<std::byte> bytes, std::uint64_t offset) {
  if (!io::is_within(offset, bytes.size(), file.size())) {
    refuse(file,
           "the tar archive ends at " + std::to_string(file.size()) + ", before its first member");
  }
  if (const int error = file.read(bytes, offset); error != 0) {
    refuse(file, place(offset) + " cannot be read: " + io::error_text(-error), -error);
  }
}

// Follows the headers up to the first member's.
class HeaderChain {
 public:
  explicit HeaderChain(const io::File& file) : file_(file) {}

  io::ByteRange find() {
    for (unsigned count = 0; count < kHeadersMax; ++count) {
      const Header header = read_header();
      offset_ += kBlockSize;
      switch (header.type) {
        case 'x':
          take_pax(header, own_size_);
          break;
        case 'g':
          take_pax(header, global_size_);
          break;
        case 'L':
        case 'K':
          skip(header);
          break;
        default:
          return payload_of(header);
      }
    }
    refuse(file_, "more than " + std::to_string(kHeadersMax) + " tar headers before a member");
  }

 private:
  Header read_header() const {
    Block block;
    read_or_throw(file_, block, offset_);
    if (!has_right_sum(block)) refuse(file_, place(offset_) + " has a wrong sum", EIO);
    std::optional<Header> header = parse_header(block);
    if (!header) refuse(file_, place(offset_) + " has a size that is no number");
    return *std::move(header);
  }

  void check_extension(const Header& header) const {
    if (header.size > kExtensionMax) {
      refuse(file_, place(offset_ - kBlockSize) + " announces " + std::to_string(header.size) +
                        " bytes of type " + header.type + ", more than " +
                        std::to_string(kExtensionMax));
    }
  }

  void take_pax(const Header& header, std::optional<std::uint64_t>& size) {
    check_extension(header);
    std::vector<std::byte> records(header.size);
    read_or_throw(file_, records, offset_);
    const auto malformed = [this] {
      refuse(file_, "the pax records at " + std::to_string(offset_) + " are malformed");
    };
    const auto parsed = parse_pax_records(records);
    if (!parsed) malformed();
    for (const PaxRecord& record : *parsed) {
      if (record.key != "size") continue;
      const char* const end = record.value.data() + record.value.size();
      const auto number = std::from_chars(record.value.data(), end, size.emplace());
      if (number.ec != std::errc() || number.ptr != end) malformed();
    }
    skip(header);
  }

  void skip(const Header& header) {
    check_extension(header);
    offset_ += (header.size + kBlockSize - 1) / kBlockSize * kBlockSize;
  }

  io::ByteRange payload_of(const Header& header) const {
    if (header.type != '0' && header.type != '\0' && header.type != '7') {
      refuse(file_, "the first member of the tar archive, " + header.name +
                        ", is no file: its type is " + header.type);
    }
    std::uint64_t size = header.size;
    if (global_size_.value_or(0) > 0) size = *global_size_;
    if (own_size_.value_or(0) > 0) size = *own_size_;
    if (!io::is_within(offset_, size, file_.size())) {
      refuse(file_, "the first member of the tar archive, " + std::to_string(size) + " bytes at " +
                        std::to_string(offset_) + ", reaches past the end of the file at " +
                        std::to_string(file_.size()));
    }
    return {offset_, size};
  }

  const io::File& file_;
  std::uint64_t offset_ = 0;
  std::optional<std::uint64_t> own_size_;
  std::optional<std::uint64_t> global_size_;
};

}  // namespace

std::optional<io::ByteRange> find_layer(const io::File& file) {
  if (file.size() < kBlockSize) return std::nullopt;
  Block block;
  read_or_throw(file, block, 0);
  if (!begins_archive(block)) return std::nullopt;
  return HeaderChain(file).find();
}

std::unique_ptr<const io::File> unwrap(std::unique_ptr<const io::File> file) {
  const std::optional<io::ByteRange> layer = find_layer(*file);
  if (!layer) return file;
  std::string name = file->name() + " (member at " + std::to_string(layer->offset) + ")";
  return io::open_slice(std::move(file), *layer, std::move(name));
}

}  // namespace varve::tar
