// One entry of a layer's index: a run of sectors of the virtual disk, and where its content lies.
//
// In memory it is what it is on disk, two little-endian words:
//   bits 0-49 first sector, 50-63 number of sectors | bits 0-54 sector in the layer's file, 55 zeros
//   instead of data, 56-63 layer (in memory only; what a file says there counts for nothing)
// A sector has 512 bytes. An entry at sector 2^50-1 is padding and maps nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace varve::lsmt {

static_assert(std::endian::native == std::endian::little, "index entries are used as they are read");

inline constexpr std::uint64_t kSectorSize = 512;
// Of padding; also the first sector that cannot be mapped.
inline constexpr std::uint64_t kSectorMax = (std::uint64_t{1} << 50) - 1;
inline constexpr std::uint64_t kMappingSectorsMax = (1 << 14) - 1;

struct SectorRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return first + count; }
};

class Mapping {
 public:
  // Padding.
  constexpr Mapping() noexcept = default;

  static constexpr Mapping data(SectorRange range, std::uint64_t data_sector) noexcept {
    return {range.first | range.count << 50, data_sector};
  }
  static constexpr Mapping zeros(SectorRange range, std::uint64_t data_sector) noexcept {
    return {range.first | range.count << 50, data_sector | kZeroedBit};
  }

  [[nodiscard]] constexpr std::uint64_t first() const noexcept { return place_ & kSectorMax; }
  [[nodiscard]] constexpr std::uint64_t count() const noexcept { return place_ >> 50; }
  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return first() + count(); }
  [[nodiscard]] constexpr SectorRange range() const noexcept { return {first(), count()}; }
  [[nodiscard]] constexpr bool is_zeroed() const noexcept { return (target_ & kZeroedBit) != 0; }
  [[nodiscard]] constexpr bool is_padding() const noexcept { return first() == kSectorMax; }
  // Where its data lies; of a zeroed mapping it says nothing.
  [[nodiscard]] constexpr std::uint64_t data_first() const noexcept {
    return target_ & (kZeroedBit - 1);
  }
  // Zeros take no room in the file.
  [[nodiscard]] constexpr std::uint64_t data_end() const noexcept {
    return data_first() + (is_zeroed() ? 0 : count());
  }
  [[nodiscard]] constexpr unsigned layer() const noexcept {
    return static_cast<unsigned>(target_ >> 56);
  }

  [[nodiscard]] constexpr Mapping with_layer(unsigned layer) const noexcept {
    return {place_, (target_ & ((std::uint64_t{1} << 56) - 1)) | std::uint64_t{layer} << 56};
  }
  // The part inside of `window`, which it must overlap.
  [[nodiscard]] constexpr Mapping trimmed(SectorRange window) const noexcept {
    const std::uint64_t begin = std::max(first(), window.first);
    const std::uint64_t until = std::min(end(), window.end());
    return {begin | (until - begin) << 50, target_ + (is_zeroed() ? 0 : begin - first())};
  }

  friend constexpr bool operator==(const Mapping&, const Mapping&) noexcept = default;

 private:
  static constexpr std::uint64_t kZeroedBit = std::uint64_t{1} << 55;

  constexpr Mapping(std::uint64_t place, std::uint64_t target) noexcept
      : place_(place), target_(target) {}

  std::uint64_t place_ = kSectorMax;
  std::uint64_t target_ = 0;
};

static_assert(sizeof(Mapping) == 16);

}  // namespace varve::lsmt
