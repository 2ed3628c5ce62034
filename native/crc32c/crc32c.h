// CRC-32C as layer files use it: the bare register of the reflected polynomial 0x82F63B78. Nothing
// is inverted, neither before nor after, so update(update(0, a), b) is update(0, a and b).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace varve::crc32c {

// The register after `bytes`, by the quickest way that this processor has.
[[nodiscard]] std::uint32_t update(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

// The ways there are, slowest first. All give the same.
enum class Way {
  table,   // any processor
  sse42,   // three chains of the crc32 instruction, joined by PCLMULQDQ
  avx512,  // folding by VPCLMULQDQ, 256 bytes at a time
};

[[nodiscard]] bool is_supported(Way way) noexcept;
[[nodiscard]] Way quickest() noexcept;
[[nodiscard]] const char* name_of(Way way) noexcept;

// By a certain way, which has to be supported; for tests and measurements.
[[nodiscard]] std::uint32_t update_by(Way way, std::uint32_t crc,
                                      std::span<const std::byte> bytes) noexcept;

}  // namespace varve::crc32c
