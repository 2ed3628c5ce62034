#include "lsmt/read_only_stack.h"

#include <cerrno>
#include <utility>

#include "lsmt/mapped_read.h"

namespace varve::lsmt {

ReadOnlyStack::ReadOnlyStack(std::vector<ReadOnlyLayer> layers, std::string name)
    : name_(std::move(name)) {
  if (layers.empty()) throw io::FormatError(EINVAL, name_ + ": a stack without layers");
  std::vector<MappingArray> indexes;
  indexes.reserve(layers.size());
  layers_.reserve(layers.size());
  for (ReadOnlyLayer& layer : layers) {
    if (layer.trailer.virtual_size != 0) size_ = layer.trailer.virtual_size;
    indexes.push_back(std::move(layer.mappings));
    layers_.push_back({std::move(layer.file), std::move(layer.header), std::move(layer.trailer)});
  }
  if (size_ == 0) throw io::FormatError(EINVAL, name_ + ": no layer says a virtual size");
  index_ = Index(overlay(std::move(indexes)));
}

int ReadOnlyStack::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  if (offset > size_ || destination.size() > size_ - offset) return -EINVAL;
  return read_mapped([this](SectorRange range, Found& found) { index_.find(range, found); },
                     [this](unsigned layer) -> const io::File& { return *layers_[layer].file; },
                     destination, offset);
}

std::vector<std::string> chain_defects(const std::vector<ReadOnlyStack::Layer>& layers) {
  std::vector<std::string> defects;
  for (std::size_t at = 1; at < layers.size(); ++at) {
    const std::optional<Uuid> expected = parse_uuid(layers[at].header.parent_uuid);
    if (!expected) continue;
    const std::optional<Uuid> found = parse_uuid(layers[at - 1].trailer.uuid);
    if (found == expected) continue;
    defects.push_back(layers[at].file->name() + ": expects to lie on " + *expected +
                      ", lies on " + found.value_or("a layer without a uuid"));
  }
  return defects;
}

}  // namespace varve::lsmt
