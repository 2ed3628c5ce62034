#include "lsmt/writable_stack.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "lsmt/mapped_read.h"

namespace varve::lsmt {

namespace {

// Layers below have 0 to 254.
constexpr unsigned kUpper = kStackLayersMax;

}  // namespace

WritableStack::WritableStack(std::unique_ptr<WritableLayer> upper,
                             std::shared_ptr<const ReadOnlyStack> lower, std::string name,
                             bool is_read_only)
    : upper_(std::move(upper)), lower_(std::move(lower)), name_(std::move(name)) {
  upper_->lies_on(lower_);
  if (upper_->virtual_size() != 0) return;
  if (!lower_) throw io::FormatError(EINVAL, upper_->data().name() + ": no layer says a virtual size");
  is_as_lower_ = is_read_only;
  if (is_as_lower_) return;
  if (const int error = upper_->resize(lower_->size()); error != 0) {
    throw io::FormatError(-error, upper_->data().name() + ": cannot keep the size of what is below: " +
                                      std::strerror(-error));
  }
}

const io::File& WritableStack::file_of(unsigned layer) const {
  return layer == kUpper ? upper_->data() : *lower_->layers()[layer].file;
}

void WritableStack::find(SectorRange range, Found& found) const {
  Found above;
  upper_->find(range, above);
  found.count = 0;
  const auto take_below = [this, &found](std::uint64_t first, std::uint64_t end) {
    Found below;
    while (lower_ && first < end && found.count < kFoundMax) {
      lower_->index().find({first, end - first}, below);
      for (std::size_t at = 0; at < below.count && found.count < kFoundMax; ++at) {
        found.mappings[found.count++] = below.mappings[at];
        first = below.mappings[at].end();
      }
      if (below.count < kFoundMax) return;
    }
  };
  std::uint64_t sector = range.first;
  for (std::size_t at = 0; at < above.count; ++at) {
    take_below(sector, above.mappings[at].first());
    if (found.count == kFoundMax) return;
    found.mappings[found.count++] = above.mappings[at].with_layer(kUpper);
    sector = above.mappings[at].end();
  }
  // Sixteen mappings above fill it at the latest, so here the upper layer has no more.
  take_below(sector, range.end());
}

int WritableStack::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  const std::uint64_t size = this->size();
  if (offset > size || destination.size() > size - offset) return -EINVAL;
  return read_mapped([this](SectorRange range, Found& found) { find(range, found); },
                     [this](unsigned layer) -> const io::File& { return file_of(layer); },
                     destination, offset);
}

void WritableStack::merge(LayerOptions options, const Output& output) const {
  const Header header = upper_->header();
  if (options.virtual_size == 0) options.virtual_size = size();
  if (options.parent_uuid.empty()) {
    options.parent_uuid =
        lower_ ? lower_->layers().front().header.parent_uuid : header.parent_uuid;
  }
  const std::uint64_t end = (size() + kSectorSize - 1) / kSectorSize;
  // In the order of the disk, gathered sixteen at a time like a read does.
  std::vector<Mapping> gathered;
  Found found;
  for (std::uint64_t sector = 0; sector < kSectorMax;) {
    find({sector, kSectorMax - sector}, found);
    for (std::size_t at = 0; at < found.count; ++at) {
      const Mapping& mapping = found.mappings[at];
      sector = mapping.end();
      // Nothing lies below all of it, so what a smaller disk left behind its end hides nothing.
      if (!mapping.is_zeroed() || mapping.first() < end) gathered.push_back(mapping);
    }
    if (found.count < kFoundMax) break;
  }
  MappingArray mappings(gathered.size());
  for (const Mapping& mapping : gathered) mappings.push_back(mapping);
  write_layer(
      mappings, [this](unsigned layer) -> const io::File& { return file_of(layer); }, options,
      output);
}

}  // namespace varve::lsmt
