// The header and the trailer of a ZFile: a stream of bytes that is compressed in blocks of one
// size, so that any part of it can be read alone.
//
//   header 512 | dictionary | block 0 [sum] | block 1 [sum] ... | index | trailer 512
//
// The index holds the stored length of each block as 32 bits, its sum included. A header with the
// flag `header_is_final` describes the file by itself; otherwise the trailer does. Both are
// little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace varve::zfile {

inline constexpr std::size_t kHeaderSize = 512;

// Sums of blocks start from this register; all others from zero.
inline constexpr std::uint32_t kBlockSumStart = 100007;
inline constexpr std::uint32_t kSumSize = 4;

inline constexpr std::uint32_t kBlockSizeMin = 512;
inline constexpr std::uint32_t kBlockSizeMax = 65536;
// By how much a stored block may exceed its content: what writers leave room for, and more than
// either codec ever needs.
inline constexpr std::uint32_t kExpansionMax = 512;

// What readers take and writers make: 4 GB of index, 4 TB of content in blocks of 4 KiB.
inline constexpr std::uint64_t kBlockCountMax = 1'000'000'000;

enum class Algorithm : std::uint8_t { lz4 = 1, zstd = 2 };

[[nodiscard]] const char* name_of(Algorithm algorithm) noexcept;

namespace flags {
inline constexpr std::uint64_t header = 1U << 0;  // clear in a trailer
inline constexpr std::uint64_t data_file = 1U << 1;
inline constexpr std::uint64_t sealed = 1U << 2;
inline constexpr std::uint64_t header_is_final = 1U << 3;
inline constexpr std::uint64_t has_digest = 1U << 4;
inline constexpr std::uint64_t compressed_index = 1U << 5;
}  // namespace flags

using HeaderBytes = std::array<std::byte, kHeaderSize>;

// The fields of a header or trailer as they are stored, whatever their worth.
struct Header {
  std::uint32_t size = 96;
  std::uint32_t digest = 0;
  std::uint64_t flags = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t block_count = 0;
  std::uint64_t original_size = 0;
  std::uint32_t index_sum = 0;
  std::uint32_t block_size = 4096;
  std::uint8_t algorithm = 1;
  std::uint8_t level = 0;
  std::uint8_t uses_dictionary = 0;
  std::uint32_t dictionary_size = 0;
  std::uint8_t has_sums = 1;

  [[nodiscard]] bool has(std::uint64_t flag) const noexcept { return (flags & flag) != 0; }
  // Where the first block begins.
  [[nodiscard]] std::uint64_t data_offset() const noexcept {
    return kHeaderSize + std::uint64_t{dictionary_size};
  }
};

[[nodiscard]] bool has_magic(std::span<const std::byte, kHeaderSize> bytes) noexcept;
[[nodiscard]] Header parse_header(std::span<const std::byte, kHeaderSize> bytes) noexcept;
// The digest that such bytes have to carry: over all of them, its own field taken as zero.
[[nodiscard]] std::uint32_t digest_of(std::span<const std::byte, kHeaderSize> bytes) noexcept;
// With its digest.
[[nodiscard]] HeaderBytes format_header(const Header& header) noexcept;

// What is wrong with the description of a file's content, empty if nothing is: everything that can
// be said without the index. `index_end` is where the index has to end at the latest.
[[nodiscard]] std::string defect_of(const Header& header, std::uint64_t index_end);

}  // namespace varve::zfile
