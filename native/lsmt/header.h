// The block of 4096 bytes at the beginning of every layer file and at the end of a finished one.
//
// Of a finished layer the trailer counts for where the index lies, for the size and the uuid; its
// header may still say what the layer was while it was written. Texts that are no uuid are kept and
// never refused: what writers put there is not reliable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/file.h"
#include "lsmt/mapping.h"

namespace varve::lsmt {

inline constexpr std::size_t kHeaderBytes = 4096;
inline constexpr std::uint64_t kHeaderSectors = kHeaderBytes / kSectorSize;
inline constexpr std::size_t kUserTagMax = 256;
// What mappings can reach.
inline constexpr std::uint64_t kVirtualSizeMax = kSectorMax * kSectorSize;

using HeaderBlock = std::array<std::byte, kHeaderBytes>;

// 36 characters, upper case where we write it; empty for none (stored as zeros).
using Uuid = std::string;
// Upper case; nothing for a text that is no uuid.
std::optional<Uuid> parse_uuid(const std::string& text);
Uuid random_uuid();

struct Header {
  bool is_header = false;   // else a trailer
  bool is_data = false;     // else the index of a writable layer
  bool is_sealed = false;
  bool is_sparse = false;
  std::uint64_t index_offset = 0;  // bytes
  std::uint64_t index_count = 0;   // entries, padding included
  std::uint64_t virtual_size = 0;  // bytes
  Uuid uuid;
  Uuid parent_uuid;
  std::string user_tag;

  [[nodiscard]] HeaderBlock encode() const;
  // Nothing if the block is no header and no trailer.
  static std::optional<Header> decode(std::span<const std::byte, kHeaderBytes> block);
};

// Reads the header at the beginning of a file; throws io::FormatError. `part` is for the message.
Header read_header(const io::File& file, const std::string& part);
// Whether a file begins like a layer does.
bool is_layer(const io::File& file);

// Throws: `file` is not what it has to be.
[[noreturn]] void refuse(const io::File& file, const std::string& defect);

}  // namespace varve::lsmt
