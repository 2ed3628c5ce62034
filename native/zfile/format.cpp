#include "zfile/format.h"

#include <algorithm>
#include <bit>

#include "crc32c/crc32c.h"
#include "io/bytes.h"

namespace varve::zfile {

namespace {

using io::load;
using io::store;

constexpr std::array<unsigned char, 24> kMagic = {0x5A, 0x46, 0x69, 0x6C, 0x65, 0x00, 0x01, 0x00,
                                                  0x74, 0x75, 0x6A, 0x69, 0x2E, 0x79, 0x79, 0x66,
                                                  0x40, 0x41, 0x6C, 0x69, 0x62, 0x61, 0x62, 0x61};

namespace field {
constexpr std::size_t size = 24;
constexpr std::size_t digest = 28;
constexpr std::size_t flags = 32;
constexpr std::size_t index_offset = 40;
constexpr std::size_t block_count = 48;
constexpr std::size_t original_size = 56;
constexpr std::size_t index_sum = 64;
constexpr std::size_t block_size = 72;
constexpr std::size_t algorithm = 76;
constexpr std::size_t level = 77;
constexpr std::size_t uses_dictionary = 78;
constexpr std::size_t dictionary_size = 84;
constexpr std::size_t has_sums = 88;
}  // namespace field

}  // namespace

const char* name_of(Algorithm algorithm) noexcept {
  switch (algorithm) {
    case Algorithm::lz4:
      return "lz4";
    case Algorithm::zstd:
      return "zstd";
  }
  return "unknown";
}

bool has_magic(std::span<const std::byte, kHeaderSize> bytes) noexcept {
  return std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

Header parse_header(std::span<const std::byte, kHeaderSize> bytes) noexcept {
  const std::byte* at = bytes.data();
  Header header;
  header.size = load<std::uint32_t>(at + field::size);
  header.digest = load<std::uint32_t>(at + field::digest);
  header.flags = load<std::uint64_t>(at + field::flags);
  header.index_offset = load<std::uint64_t>(at + field::index_offset);
  header.block_count = load<std::uint64_t>(at + field::block_count);
  header.original_size = load<std::uint64_t>(at + field::original_size);
  header.index_sum = load<std::uint32_t>(at + field::index_sum);
  header.block_size = load<std::uint32_t>(at + field::block_size);
  header.algorithm = load<std::uint8_t>(at + field::algorithm);
  header.level = load<std::uint8_t>(at + field::level);
  header.uses_dictionary = load<std::uint8_t>(at + field::uses_dictionary);
  header.dictionary_size = load<std::uint32_t>(at + field::dictionary_size);
  header.has_sums = load<std::uint8_t>(at + field::has_sums);
  return header;
}

std::uint32_t digest_of(std::span<const std::byte, kHeaderSize> bytes) noexcept {
  constexpr std::array<std::byte, 4> kNoDigest = {};
  std::uint32_t sum = crc32c::update(0, bytes.first(field::digest));
  sum = crc32c::update(sum, kNoDigest);
  return crc32c::update(sum, bytes.subspan(field::digest + kNoDigest.size()));
}

HeaderBytes format_header(const Header& header) noexcept {
  HeaderBytes bytes = {};
  std::byte* at = bytes.data();
  std::memcpy(at, kMagic.data(), kMagic.size());
  store(at + field::size, header.size);
  store(at + field::flags, header.flags);
  store(at + field::index_offset, header.index_offset);
  store(at + field::block_count, header.block_count);
  store(at + field::original_size, header.original_size);
  store(at + field::index_sum, header.index_sum);
  store(at + field::block_size, header.block_size);
  store(at + field::algorithm, header.algorithm);
  store(at + field::level, header.level);
  store(at + field::uses_dictionary, header.uses_dictionary);
  store(at + field::dictionary_size, header.dictionary_size);
  store(at + field::has_sums, header.has_sums);
  store(at + field::digest, digest_of(bytes));
  return bytes;
}

std::string defect_of(const Header& header, std::uint64_t index_end) {
  if (header.has(flags::compressed_index)) {
    return "its index is compressed (flag bit 5), which no known writer does";
  }
  const std::uint32_t block_size = header.block_size;
  if (block_size < kBlockSizeMin || block_size > kBlockSizeMax ||
      !std::has_single_bit(block_size)) {
    return "block size " + std::to_string(block_size) + " is no power of two from " +
           std::to_string(kBlockSizeMin) + " to " + std::to_string(kBlockSizeMax);
  }
  if (header.algorithm != static_cast<std::uint8_t>(Algorithm::lz4) &&
      header.algorithm != static_cast<std::uint8_t>(Algorithm::zstd)) {
    return "compression algorithm " + std::to_string(header.algorithm) +
           " is unknown (1 is lz4, 2 is zstd)";
  }
  if (header.has_sums > 1) {
    return "the mark for checksums is " + std::to_string(header.has_sums) + ", neither 0 nor 1";
  }
  const std::uint64_t needed =
      header.original_size / block_size + (header.original_size % block_size != 0 ? 1 : 0);
  if (header.block_count != needed) {
    return std::to_string(header.original_size) + " bytes in blocks of " +
           std::to_string(block_size) + " are " + std::to_string(needed) +
           " blocks, but its index has " + std::to_string(header.block_count);
  }
  if (header.index_offset < header.data_offset() || header.index_offset > index_end) {
    return "its index begins at " + std::to_string(header.index_offset) + ", outside of " +
           std::to_string(header.data_offset()) + " to " + std::to_string(index_end);
  }
  if (header.block_count > (index_end - header.index_offset) / sizeof(std::uint32_t)) {
    return "its index of " + std::to_string(header.block_count) + " entries at " +
           std::to_string(header.index_offset) + " reaches past " + std::to_string(index_end);
  }
  return {};
}

}  // namespace varve::zfile
