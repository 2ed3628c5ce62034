#include "crc32c/crc32c.h"

#include "crc32c/ways.h"

namespace varve::crc32c {

bool is_supported(Way way) noexcept {
#ifdef VARVE_CRC32C_X86
  const bool has_sse42 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
  switch (way) {
    case Way::table:
      return true;
    case Way::sse42:
      return has_sse42;
    case Way::avx512:
      return has_sse42 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("vpclmulqdq");
  }
  return false;
#else
  return way == Way::table;
#endif
}

Way quickest() noexcept {
  static const Way found = is_supported(Way::avx512)  ? Way::avx512
                           : is_supported(Way::sse42) ? Way::sse42
                                                      : Way::table;
  return found;
}

const char* name_of(Way way) noexcept {
  switch (way) {
    case Way::table:
      return "table";
    case Way::sse42:
      return "sse4.2";
    case Way::avx512:
      return "avx-512";
  }
  return "unknown";
}

std::uint32_t update_by(Way way, std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
#ifdef VARVE_CRC32C_X86
  if (way == Way::avx512) return update_by_avx512(crc, bytes.data(), bytes.size());
  if (way == Way::sse42) return update_by_sse42(crc, bytes.data(), bytes.size());
#endif
  return update_by_table(crc, bytes.data(), bytes.size());
}

std::uint32_t update(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  return update_by(quickest(), crc, bytes);
}

}  // namespace varve::crc32c
