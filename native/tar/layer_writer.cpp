#include "tar/layer_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "io/bytes.h"
#include "tar/header.h"

namespace varve::tar {

namespace {

constexpr std::uint64_t kPayload = 3 * kBlockSize;
constexpr std::uint64_t kSizeMax = std::numeric_limits<std::int64_t>::max() - kPayload;
constexpr std::string_view kFinished(
    "ustar\0"
    "00",
    8);
constexpr std::string_view kUnfinishedCommit(
    "xxtar\0"
    "xx",
    8);

void put(Block& block, std::size_t offset, std::string_view text) {
  std::memcpy(block.data() + offset, text.data(), text.size());
}

// Octal digits to the right of spaces and before one.
void put_number(Block& block, std::size_t offset, int width, std::uint64_t value) {
  char text[32];
  const int length =
      std::snprintf(text, sizeof text, "%*llo ", width, static_cast<unsigned long long>(value));
  put(block, offset, {text, static_cast<std::size_t>(length)});
}

void put_sum(Block& block) {
  constexpr std::size_t kSum = 148;
  std::fill_n(block.begin() + kSum, 8, std::byte{' '});
  std::uint64_t sum = 0;
  for (const std::byte byte : block) sum += static_cast<std::uint64_t>(byte);
  block[kSum + 7] = std::byte{0};
  put_number(block, kSum, 6, sum);
}

Block header_of(std::string_view name, char type, std::uint64_t size, std::string_view magic) {
  Block block = {};
  put(block, 0, name);
  put_number(block, 124, 11, size);
  block[156] = static_cast<std::byte>(type);
  put(block, 257, magic);
  return block;
}

Block pax_header(std::size_t record_length, std::string_view magic) {
  Block block = header_of("overlaybd.pax", 'x', record_length, magic);
  put_sum(block);
  return block;
}

// Owner and times are fixed: the same layer gives the same archive.
Block commit_header(std::string_view name, std::string_view magic) {
  constexpr std::uint64_t kMode = 0100644;
  Block block = header_of(name, '0', 0, magic);
  put_number(block, 100, 6, kMode);
  put_number(block, 108, 6, 0);
  put_number(block, 116, 6, 0);
  put_number(block, 136, 11, 0);
  put(block, 265, "root");
  put(block, 297, "root");
  put_sum(block);
  return block;
}

// "<length> size=<bytes>\n", where the length counts its own digits.
std::string size_record(std::uint64_t size) {
  const std::string text = " size=" + std::to_string(size) + "\n";
  std::size_t length = text.size() + 1;
  while (std::to_string(length).size() + text.size() != length) ++length;
  return std::to_string(length) + text;
}

using Headers = std::array<std::byte, kPayload>;

Headers headers_of(const Block& pax, std::string_view record, const Block& commit) {
  Headers headers = {};
  std::memcpy(headers.data(), pax.data(), kBlockSize);
  std::memcpy(headers.data() + kBlockSize, record.data(), record.size());
  std::memcpy(headers.data() + 2 * kBlockSize, commit.data(), kBlockSize);
  return headers;
}

}  // namespace

LayerWriter::LayerWriter(io::WritableFile& target) : target_(target) {
  if (target.size() != 0) throw io::FormatError(EEXIST, target.name() + ": is not empty");
  const Headers headers =
      headers_of(pax_header(0, ""), "", commit_header("overlaybd.new", kUnfinishedCommit));
  if (const int error = target.write(headers, 0); error != 0) {
    throw io::FormatError(-error, target.name() + ": " + io::error_text(-error));
  }
}

std::uint64_t LayerWriter::size() const noexcept { return target_.size() - kPayload; }

int LayerWriter::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  if (!io::is_within(offset, destination.size(), size())) return -EINVAL;
  return target_.read(destination, kPayload + offset);
}

int LayerWriter::write(std::span<const std::byte> source, std::uint64_t offset) {
  if (!io::is_within(offset, source.size(), kSizeMax)) return -EFBIG;
  return target_.write(source, kPayload + offset);
}

int LayerWriter::resize(std::uint64_t size) {
  if (size > kSizeMax) return -EFBIG;
  return target_.resize(kPayload + size);
}

int LayerWriter::punch_hole(const io::ByteRange& range) {
  if (!io::is_within(range.offset, range.length, size())) return -EINVAL;
  return target_.punch_hole({kPayload + range.offset, range.length});
}

int LayerWriter::data_ranges(std::vector<io::ByteRange>& ranges) const {
  if (const int error = target_.data_ranges(ranges); error != 0) return error;
  std::vector<io::ByteRange> inside;
  for (const io::ByteRange& range : ranges) {
    const std::uint64_t begin = std::max(range.offset, kPayload);
    const std::uint64_t end = range.offset + range.length;
    if (begin < end) inside.push_back({begin - kPayload, end - begin});
  }
  ranges = std::move(inside);
  return 0;
}

int LayerWriter::finish() {
  const std::uint64_t size = this->size();
  const std::uint64_t end = target_.size();
  // Up to the next block, and two empty ones.
  const std::vector<std::byte> rest((kBlockSize - end % kBlockSize) % kBlockSize + 2 * kBlockSize);
  if (const int error = target_.write(rest, end); error != 0) return error;
  const std::string record = size_record(size);
  const Headers headers = headers_of(pax_header(record.size(), kFinished), record,
                                     commit_header("overlaybd.commit", kFinished));
  return target_.write(headers, 0);
}

}  // namespace varve::tar
