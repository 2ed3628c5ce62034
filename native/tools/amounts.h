// Sizes, ranges and numbers as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace varve::tools {

inline constexpr std::uint64_t kKib = 1024;
inline constexpr std::uint64_t kMib = 1024 * kKib;
inline constexpr std::uint64_t kGib = 1024 * kMib;

// Bytes of a number with one of the suffixes B, K, M, G, T or P, which count in steps of 1024 and
// may be written as KiB and so on; a plain number counts `plain_unit`. Nothing for any other text,
// and for what 64 bits do not hold.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text,
                                                      std::uint64_t plain_unit);

// OFFSET:LENGTH, each a size in bytes. Nothing if it is none, or ends behind the last byte that 64
// bits can name.
[[nodiscard]] std::optional<io::ByteRange> parse_range(std::string_view text);

// Lines of "offset length" in bytes; empty ones are passed over. Throws std::runtime_error, which
// names the line.
[[nodiscard]] std::vector<io::ByteRange> parse_range_list(std::string_view text);

// For people: "0 bytes", "512 bytes", "64 KiB", "1.3 TiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

// The same, and the number of bytes where that says more: "1.3 TiB (1421634174976 bytes)".
[[nodiscard]] std::string exact_size_text(std::uint64_t bytes);

// "1 block", "2 blocks".
[[nodiscard]] std::string count_text(std::uint64_t count, std::string_view what);

// How much `part` is of `whole`: "37.5 %".
[[nodiscard]] std::string share_text(std::uint64_t part, std::uint64_t whole);

}  // namespace varve::tools
