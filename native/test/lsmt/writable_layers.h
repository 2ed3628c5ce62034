// What the tests of writable layers share: one in memory, and what is made of it.
#pragma once

#include <memory>
#include <utility>

#include "lsmt/writable_stack.h"
#include "test/lsmt/layers.h"

namespace varve::test {

// The two files of a writable layer, which outlive those who have them open.
struct LayerFiles {
  SharedContent data = std::make_shared<MemoryContent>();
  SharedContent index = std::make_shared<MemoryContent>();

  [[nodiscard]] std::unique_ptr<io::WritableFile> data_file() const {
    return std::make_unique<MemoryFile>(data, "data");
  }
  [[nodiscard]] std::unique_ptr<io::WritableFile> index_file() const {
    return std::make_unique<MemoryFile>(index, "index");
  }
  [[nodiscard]] std::unique_ptr<lsmt::WritableLayer> create(const lsmt::NewLayer& layer) const {
    return lsmt::WritableLayer::create(data_file(), index_file(), layer);
  }
  [[nodiscard]] std::unique_ptr<lsmt::WritableLayer> open(lsmt::LostData lost = lsmt::LostData::kRefuse) const {
    return lsmt::WritableLayer::open(data_file(), index_file(), lost);
  }
  // As they are now, for a process that starts after this one died.
  [[nodiscard]] LayerFiles copy() const { return {copy_of(data), copy_of(index)}; }
};

inline std::unique_ptr<lsmt::WritableStack> on_top(std::unique_ptr<lsmt::WritableLayer> upper,
                                      std::shared_ptr<const lsmt::ReadOnlyStack> lower = nullptr) {
  return std::make_unique<lsmt::WritableStack>(std::move(upper), std::move(lower), "disk");
}

inline Bytes committed(const lsmt::WritableLayer& layer, const lsmt::LayerOptions& options = {}) {
  Bytes bytes;
  layer.commit(options, into(bytes));
  return bytes;
}

}  // namespace varve::test
