#include "apply/sparse_map.h"

#include <cerrno>
#include <charconv>
#include <optional>
#include <string>

#include "apply/apply_error.h"
#include "apply/blocks.h"
#include "io/bytes.h"
#include "tar/header.h"

namespace varve::apply {

namespace {

constexpr std::size_t kPartsMax = std::size_t{1} << 20;
constexpr std::size_t kDigitsMax = 20;
constexpr std::size_t kHeaderParts = 386;
constexpr std::size_t kHeaderPartCount = 4;
constexpr std::size_t kHeaderIsExtended = 482;
constexpr std::size_t kBlockPartCount = 21;
constexpr std::size_t kBlockIsExtended = 504;
constexpr std::size_t kNumber = 12;

[[noreturn]] void refuse(const std::string& why) {
  throw ApplyError(EINVAL, "its map of a sparse file is damaged: " + why);
}

std::uint64_t parse_decimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    refuse(quoted(std::string(text)) + " is no number");
  }
  return number;
}

// Lines of decimals in blocks.
class LineReader {
 public:
  LineReader(ReadAhead& input, std::uint64_t& stored) : input_(input), stored_(stored) {}

  std::uint64_t number() {
    std::string digits;
    for (;;) {
      if (used_ == block_.size()) take_block();
      const char character = static_cast<char>(block_[used_++]);
      if (character == '\n') return parse_decimal(digits);
      if (digits.size() == kDigitsMax) refuse("a line is longer than a number");
      digits += character;
    }
  }

 private:
  void take_block() {
    if (stored_ < block_.size()) refuse("it is longer than the member");
    read_block(input_, block_);
    stored_ -= block_.size();
    used_ = 0;
  }

  ReadAhead& input_;
  std::uint64_t& stored_;
  tar::Block block_{};
  std::size_t used_ = tar::kBlockSize;
};

// A part that begins with a zero byte is behind the last.
void add_old_parts(std::span<const std::byte> numbers, std::size_t count,
                   SparseMapBuilder& builder) {
  for (std::size_t at = 0; at < count; ++at) {
    const std::span<const std::byte> part = numbers.subspan(at * 2 * kNumber, 2 * kNumber);
    if (part.front() == std::byte{0}) return;
    const std::optional<std::uint64_t> offset = tar::parse_number(part.first(kNumber));
    const std::optional<std::uint64_t> length = tar::parse_number(part.subspan(kNumber));
    if (!offset || !length) refuse("a part has an offset or a length that is no number");
    builder.add(*offset, *length);
  }
}

}  // namespace

void SparseMapBuilder::add(std::uint64_t offset, std::uint64_t length) {
  if (map_.size() == kPartsMax) refuse("it has more than a million parts");
  map_.push_back({offset, length});
}

SparseMap parse_sparse_list(std::string_view text) {
  SparseMapBuilder builder;
  const auto next = [&text] {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::uint64_t number = parse_decimal(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return number;
  };
  while (!text.empty()) {
    const std::uint64_t offset = next();
    builder.add(offset, next());
  }
  return builder.take();
}

SparseMap read_sparse_lines(ReadAhead& input, std::uint64_t& stored) {
  LineReader lines(input, stored);
  SparseMapBuilder builder;
  for (std::uint64_t count = lines.number(); count > 0; --count) {
    const std::uint64_t offset = lines.number();
    builder.add(offset, lines.number());
  }
  return builder.take();
}

SparseMap read_old_sparse_map(std::span<const std::byte> header, ReadAhead& input) {
  SparseMapBuilder builder;
  add_old_parts(header.subspan(kHeaderParts), kHeaderPartCount, builder);
  bool is_extended = header[kHeaderIsExtended] != std::byte{0};
  tar::Block block{};
  while (is_extended) {
    read_block(input, block);
    add_old_parts(block, kBlockPartCount, builder);
    is_extended = block[kBlockIsExtended] != std::byte{0};
  }
  return builder.take();
}

void check_sparse_map(const SparseMap& map, std::uint64_t size, std::uint64_t stored) {
  std::uint64_t end = 0;
  std::uint64_t total = 0;
  for (const io::ByteRange& part : map) {
    if (part.offset < end) refuse("parts overlap or are not in order");
    if (!io::is_within(part.offset, part.length, size)) refuse("a part lies outside of the file");
    end = part.offset + part.length;
    total += part.length;
  }
  if (total != stored) {
    refuse("its parts have " + std::to_string(total) + " bytes, the archive holds " +
           std::to_string(stored));
  }
}

}  // namespace varve::apply
