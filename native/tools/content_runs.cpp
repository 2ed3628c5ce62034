#include "tools/content_runs.h"

#include <algorithm>

#include "lsmt/lookup.h"

namespace varve::tools {

namespace {

using lsmt::kSectorSize;

constexpr std::uint64_t kPieceMax = std::uint64_t{4} << 20;
// Fewer zeros than that are read more quickly than they are set apart.
constexpr std::uint64_t kZerosApartMin = std::uint64_t{64} << 10;

// What one index says about the sectors from `first` on: how far that holds, and what it is.
struct Stretch {
  std::uint64_t end = 0;
  bool is_mapped = false;
  bool is_zeros = false;
};

template <class Index>
Stretch stretch_of(const Index& index, std::uint64_t first, std::uint64_t end) {
  lsmt::Found found;
  index.find(lsmt::SectorRange{first, end - first}, found);
  if (found.count == 0) return {end, false, false};
  const lsmt::Mapping& mapping = found.mappings[0];
  if (mapping.first() > first) return {mapping.first(), false, false};
  Stretch stretch{mapping.end(), true, mapping.is_zeroed()};
  // Neighbours of the same kind make one run.
  for (std::size_t at = 1; at < found.count; ++at) {
    const lsmt::Mapping& next = found.mappings[at];
    if (next.first() != stretch.end || next.is_zeroed() != stretch.is_zeros) break;
    stretch.end = next.end();
  }
  return stretch;
}

}  // namespace

Run next_run(const Content& content, std::uint64_t offset, std::uint64_t end) {
  const std::uint64_t first = offset / kSectorSize;
  std::uint64_t until = (end - 1) / kSectorSize + 1;
  bool is_zeros = true;
  bool is_decided = false;
  if (content.upper != nullptr) {
    const Stretch stretch = stretch_of(*content.upper, first, until);
    until = stretch.end;
    is_decided = stretch.is_mapped;
    if (is_decided) is_zeros = stretch.is_zeros;
  }
  if (!is_decided && content.lower != nullptr) {
    const Stretch stretch = stretch_of(*content.lower, first, until);
    until = stretch.end;
    if (stretch.is_mapped) is_zeros = stretch.is_zeros;
  }
  return {std::min(end, until * kSectorSize) - offset, is_zeros};
}

Run next_piece(const Content& content, std::uint64_t offset, std::uint64_t end) {
  Run piece = next_run(content, offset, end);
  if (piece.is_zeros) return piece;
  while (piece.length < kPieceMax && offset + piece.length < end) {
    const Run run = next_run(content, offset + piece.length, end);
    if (run.is_zeros && run.length >= kZerosApartMin) break;
    piece.length += run.length;
  }
  piece.length = std::min(piece.length, kPieceMax);
  return piece;
}

}  // namespace varve::tools
