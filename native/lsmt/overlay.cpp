#include "lsmt/overlay.h"

#include <cerrno>
#include <span>
#include <utility>

#include "io/file.h"
#include "lsmt/index.h"

namespace varve::lsmt {

namespace {

// Puts `upper` over `lower`. A mapping of `lower` is cut where `upper` covers it; each cut needs
// another mapping of `upper`, which bounds what comes out.
MappingArray overlay_two(const MappingArray& lower, const MappingArray& upper) {
  MappingArray merged(lower.size() + 2 * upper.size());
  std::size_t below = 0;
  std::uint64_t covered_until = 0;
  const auto take_below_until = [&](std::uint64_t end) {
    for (; below < lower.size(); ++below) {
      const Mapping& mapping = lower[below];
      if (mapping.first() >= end) return;
      if (mapping.end() > covered_until) {
        merged.push_back(mapping.trimmed({covered_until, end - covered_until}));
      }
      // What reaches over `end` may come out again behind what covers it there.
      if (mapping.end() > end) return;
    }
  };
  for (const Mapping& mapping : upper) {
    if (mapping.first() > covered_until) take_below_until(mapping.first());
    merged.push_back(mapping);
    covered_until = mapping.end();
  }
  // A mapping that ends behind everything that can be mapped is still below this.
  take_below_until(kSectorMax + kMappingSectorsMax);
  if (merged.size() > Index::kMappingsMax) {
    throw io::FormatError(EFBIG, "the layers have more mappings together than are supported");
  }
  return merged;
}

// Halving keeps the work at the number of mappings times the logarithm of the number of layers.
MappingArray overlay_all(std::span<MappingArray> layers) {
  if (layers.size() == 1) return std::move(layers[0]);
  const std::size_t half = layers.size() / 2;
  const MappingArray lower = overlay_all(layers.first(half));
  return overlay_two(lower, overlay_all(layers.subspan(half)));
}

}  // namespace

MappingArray overlay(std::vector<MappingArray> layers) {
  if (layers.empty()) return {};
  if (layers.size() > kStackLayersMax) {
    throw io::FormatError(EINVAL, "a stack has at most 255 layers, not " +
                                      std::to_string(layers.size()));
  }
  for (std::size_t layer = 1; layer < layers.size(); ++layer) {
    for (Mapping& mapping : layers[layer].fill(layers[layer].size())) {
      mapping = mapping.with_layer(static_cast<unsigned>(layer));
    }
  }
  return overlay_all(layers);
}

}  // namespace varve::lsmt
