// Finished layers on top of each other, read as one virtual disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/file.h"
#include "lsmt/index.h"
#include "lsmt/overlay.h"
#include "lsmt/read_only_layer.h"

namespace varve::lsmt {

class ReadOnlyStack final : public io::File {
 public:
  // What stays of a layer when its index has gone into that of the stack.
  struct Layer {
    std::shared_ptr<const io::File> file;
    Header header;
    Header trailer;
  };

  // `layers` are lowest first, 1 to 255 of them. Throws io::FormatError.
  ReadOnlyStack(std::vector<ReadOnlyLayer> layers, std::string name);

  // The size that the highest layer says which says one.
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

  // Mappings say by layer() in which of the layers() their data lies.
  [[nodiscard]] const Index& index() const noexcept { return index_; }
  [[nodiscard]] const std::vector<Layer>& layers() const noexcept { return layers_; }

 private:
  std::string name_;
  std::vector<Layer> layers_;
  Index index_;
  std::uint64_t size_ = 0;
};

// What is wrong with the chain of uuids, in words: each layer that names a parent should lie on a
// layer with that uuid. Upstream's tools do not keep to it, so this is for inspection only.
std::vector<std::string> chain_defects(const std::vector<ReadOnlyStack::Layer>& layers);

}  // namespace varve::lsmt
