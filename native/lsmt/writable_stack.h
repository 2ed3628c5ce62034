// A virtual disk that can be written: a writable layer, mostly on finished ones.
#pragma once

#include <memory>
#include <string>

#include "io/file.h"
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_layer.h"

namespace varve::lsmt {

class WritableStack final : public io::File {
 public:
  // `lower` may be missing. An upper layer that says no size takes that of what is below, and keeps
  // it unless it is read-only; otherwise its own counts. Throws io::FormatError.
  WritableStack(std::unique_ptr<WritableLayer> upper, std::shared_ptr<const ReadOnlyStack> lower,
                std::string name, bool is_read_only = false);

  [[nodiscard]] std::uint64_t size() const noexcept override {
    const std::uint64_t own = upper_->virtual_size();
    return own != 0 || !is_as_lower_ ? own : lower_->size();
  }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

  // The first mappings of all layers that overlap `range`, cut to it. If `found` is full, there may
  // be more behind its last one.
  void find(SectorRange range, Found& found) const;

  // Writing, discarding, flushing, resizing and finishing are the upper layer's.
  [[nodiscard]] WritableLayer& upper() const noexcept { return *upper_; }
  [[nodiscard]] const ReadOnlyStack* lower() const noexcept { return lower_.get(); }

  // Writes all layers as one. Nothing may be written meanwhile.
  void merge(LayerOptions options, const Output& output) const;

 private:
  [[nodiscard]] const io::File& file_of(unsigned layer) const;

  std::unique_ptr<WritableLayer> upper_;
  std::shared_ptr<const ReadOnlyStack> lower_;
  std::string name_;
  bool is_as_lower_ = false;  // the upper layer says no size and must not be changed
};

}  // namespace varve::lsmt
