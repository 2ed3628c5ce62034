// Opening: which of header and trailer counts, and everything about them that can be checked.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "crc32c/crc32c.h"
#include "io/bytes.h"
#include "zfile/reader.h"

namespace varve::zfile {

namespace {

[[noreturn]] void refuse(const io::File& file, const std::string& why, int error = EINVAL) {
  throw io::FormatError(error, file.name() + ": " + why);
}

void read_or_throw(const io::File& file, std::span<std::byte> bytes, std::uint64_t offset,
                   const char* what) {
  const int error = file.read(bytes, offset);
  if (error != 0)
    refuse(file, std::string(what) + " cannot be read: " + io::error_text(-error), -error);
}

void check_digest(const io::File& file, const HeaderBytes& bytes, const Header& header,
                  const char* what) {
  if (!header.has(flags::has_digest)) return;
  const std::uint32_t actual = digest_of(bytes);
  if (actual == header.digest) return;
  refuse(file,
         std::string("the ZFile ") + what + "'s digest is " + io::hexadecimal(actual) +
             ", expected " + io::hexadecimal(header.digest),
         EIO);
}

// The header if the file begins like a ZFile.
bool read_header(const io::File& file, Header& header) {
  if (file.size() < kHeaderSize) return false;
  HeaderBytes bytes;
  read_or_throw(file, bytes, 0, "the first 512 bytes");
  if (!has_magic(bytes)) return false;
  header = parse_header(bytes);
  if (!header.has(flags::header)) return false;
  check_digest(file, bytes, header, "header");
  return true;
}

Header read_trailer(const io::File& file) {
  if (file.size() < 2 * kHeaderSize) refuse(file, "is too short for a ZFile trailer");
  HeaderBytes bytes;
  read_or_throw(file, bytes, file.size() - kHeaderSize, "the ZFile trailer");
  if (!has_magic(bytes)) refuse(file, "has no ZFile trailer in its last 512 bytes");
  const Header trailer = parse_header(bytes);
  if (trailer.has(flags::header) || !trailer.has(flags::data_file) || !trailer.has(flags::sealed)) {
    refuse(file, "the last 512 bytes are no trailer of a sealed ZFile");
  }
  check_digest(file, bytes, trailer, "trailer");
  return trailer;
}

// Identities of files, never used again: what a thread keeps must not pass for another file's.
std::uint64_t next_identity() noexcept {
  static std::atomic<std::uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

BlockIndex read_index(const io::File& file, const Header& header) {
  constexpr std::uint64_t piece_max = std::uint64_t{1} << 16;  // blocks
  const std::uint32_t sum_size = header.has_sums != 0 ? kSumSize : 0;
  BlockIndex index({.shortest = sum_size + 1,
                    .longest = header.block_size + kExpansionMax + sum_size,
                    .begin = header.data_offset(),
                    .end = header.index_offset},
                   header.block_count);
  std::vector<std::uint32_t> lengths(std::min(piece_max, header.block_count));
  std::string defect;
  std::uint32_t actual = 0;
  for (std::uint64_t block = 0; block < header.block_count; block += piece_max) {
    const std::span<std::uint32_t> piece =
        std::span(lengths).first(std::min(piece_max, header.block_count - block));
    const std::span<std::byte> bytes = std::as_writable_bytes(piece);
    read_or_throw(file, bytes, header.index_offset + block * sizeof(std::uint32_t),
                  "the ZFile index");
    actual = crc32c::update(actual, bytes);
    // A checksum that does not fit says more than what it makes of the lengths.
    if (defect.empty()) defect = index.add(piece);
    if (!defect.empty() && !header.has(flags::has_digest)) break;
  }
  if (header.has(flags::has_digest) && actual != header.index_sum) {
    refuse(file,
           "the ZFile index's checksum is " + io::hexadecimal(actual) + ", expected " +
               io::hexadecimal(header.index_sum),
           EIO);
  }
  if (!defect.empty()) refuse(file, "is no sound ZFile: " + defect);
  return index;
}

}  // namespace

bool is_zfile(const io::File& file) {
  Header header;
  return read_header(file, header);
}

Description describe(const io::File& file) {
  Description description;
  Header& header = description.header;
  if (!read_header(file, header)) refuse(file, "does not begin with a ZFile header");
  description.is_in_header = header.has(flags::header_is_final);
  std::uint64_t index_end = file.size();
  if (!description.is_in_header) {
    if (!header.has(flags::data_file)) refuse(file, "the ZFile header is not that of a data file");
    header = read_trailer(file);
    index_end -= kHeaderSize;
  }
  const std::string defect = defect_of(header, index_end);
  if (!defect.empty()) refuse(file, "is no sound ZFile: " + defect);
  if (header.block_count > kBlockCountMax) {
    refuse(file, "has " + std::to_string(header.block_count) + " blocks, more than " +
                     std::to_string(kBlockCountMax));
  }
  return description;
}

ZFile::ZFile(std::unique_ptr<const io::File> source, io::DamageListener* listener)
    : source_(std::move(source)),
      listener_(listener),
      header_(describe(*source_).header),
      block_shift_(static_cast<unsigned>(std::countr_zero(header_.block_size))),
      identity_(next_identity()) {
  try {
    index_ = read_index(*source_, header_);
  } catch (const std::bad_alloc&) {
    refuse(*source_,
           "no memory for a ZFile index of " + std::to_string(header_.block_count) + " blocks",
           ENOMEM);
  }
}

}  // namespace varve::zfile
