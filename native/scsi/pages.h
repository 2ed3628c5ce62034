// What a disk says of itself: the answers to INQUIRY and MODE SENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace varve::scsi {

using Bytes = std::vector<std::byte>;

inline constexpr std::uint32_t kBlockBytes = 512;

// The most that one command may do. Linux keeps to it, so a command waits for none that takes long.
inline constexpr std::uint32_t kTransferBlocksMax = (1U << 20) / kBlockBytes;
inline constexpr std::uint32_t kUnmapBlocksMax = 1U << 23;  // 4 GiB
inline constexpr std::uint32_t kUnmapDescriptorsMax = 256;
inline constexpr std::uint32_t kWriteSameBlocksMax = 1U << 23;

struct Identity {
  std::string serial;  // printable; of this disk alone
  bool is_read_only = false;
};

// INQUIRY without a page.
[[nodiscard]] Bytes standard_inquiry();
// A page of vital product data; empty: there is none of that number.
[[nodiscard]] Bytes vital_product_data(std::uint8_t page, const Identity& identity);

enum class PageControl : std::uint8_t { kCurrent, kChangeable, kDefault, kSaved };
inline constexpr std::uint8_t kAllModePages = 0x3f;
// A mode page, or all of them; empty: there is none of that number.
[[nodiscard]] Bytes mode_pages(std::uint8_t page, PageControl control, bool is_read_only);
// The byte of a mode header that belongs to disks.
[[nodiscard]] std::byte mode_parameter(bool is_read_only);

}  // namespace varve::scsi
