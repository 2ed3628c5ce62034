// What a command takes for a device: a configuration, or one layer alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "image/image.h"
#include "image/upper_lock.h"
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_stack.h"
#include "tools/content_runs.h"

namespace varve::tools {

class Device {
 public:
  // `path` is a configuration, whose relative paths are taken from its folder, or a layer, in which
  // case `index` is the index file if it is a writable one. Throws Failure and io::FormatError.
  static Device open(const std::string& path, const std::string& index = {});

  [[nodiscard]] std::uint64_t size() const noexcept { return content_.disk->size(); }
  [[nodiscard]] const Content& content() const noexcept { return content_; }
  // The first mappings of all layers that overlap `range`, cut to it. If `found` is full, there may
  // be more behind its last one.
  void find(lsmt::SectorRange range, lsmt::Found& found) const;
  // All layers as one. Nothing may be written meanwhile.
  void merge(const lsmt::LayerOptions& options, const lsmt::Output& output) const;
  // How many bytes of data that copies.
  [[nodiscard]] std::uint64_t data_bytes() const;

 private:
  void take(const lsmt::ReadOnlyStack* lower, const lsmt::WritableStack* writable);

  std::shared_ptr<image::Image> image_;
  std::shared_ptr<const lsmt::ReadOnlyStack> stack_;
  image::UpperLock own_lock_;
  std::unique_ptr<lsmt::WritableStack> own_writable_;
  const lsmt::ReadOnlyStack* lower_ = nullptr;
  const lsmt::WritableStack* writable_ = nullptr;
  Content content_;
};

}  // namespace varve::tools
