// The 512-byte header of one member of a ustar or pax archive.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace varve::tar {

inline constexpr std::size_t kBlockSize = 512;

using Block = std::array<std::byte, kBlockSize>;

struct Header {
  std::string name;
  char type = '0';
  std::uint64_t size = 0;
};

// Whether a block begins an archive: ustar's magic and version, and a right sum.
[[nodiscard]] bool begins_archive(std::span<const std::byte, kBlockSize> block) noexcept;

// Whether the sum in the header is that of its bytes, taken as signed or unsigned characters.
[[nodiscard]] bool has_right_sum(std::span<const std::byte, kBlockSize> block) noexcept;

// Empty if a number in it is none.
[[nodiscard]] std::optional<Header> parse_header(std::span<const std::byte, kBlockSize> block);

// The number of an octal field with spaces or zero bytes around it, or of a base-256 field; an
// empty field is zero.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::span<const std::byte> field) noexcept;

}  // namespace varve::tar
