// An image: the stack of layers that a configuration names, as the content of a block device.
//
// Read-only without an upper layer, else writable. Reads and writes are safe from several threads.
// The files of an upper layer are locked while an image has them open, so that no second one writes
// to them or reads what changes under it; the lock ends with the image or the process.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "image/blob_source.h"
#include "image/image_config.h"
#include "image/layer_file.h"
#include "image/upper_lock.h"
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_stack.h"
#include "transport/block_device.h"

namespace varve::image {

struct OpenOptions {
  // Where relative paths are taken from; empty: they are refused.
  std::string folder;
  io::DamageListener* damage_listener = nullptr;  // may be null; must outlive the image
  BlobSource* blobs = nullptr;                    // may be null; must outlive the image
  bool maps_files = true;                         // see UnwrapOptions
  unsigned threads_max = 16;                      // that open layers at once
  lsmt::LostData lost_data = lsmt::LostData::kRefuse;
  // The upper layer shows, but nothing is written: its files are opened for reading alone, and any
  // number of read-only images share them.
  bool is_read_only = false;
};

// One layer of an open image, for inspection.
struct ImageLayer {
  LayerFile file;  // for an upper layer, its data file
  bool is_writable = false;
  lsmt::Header header;
  // Of finished layers; it counts for size and uuid.
  std::optional<lsmt::Header> trailer;
  std::size_t mapping_count = 0;  // of a writable layer, when it was opened
};

class Image final : public transport::BlockDevice {
 public:
  // Throws io::FormatError, which says which layer, which file and which defect.
  static std::shared_ptr<Image> open(const ImageConfig& config, const OpenOptions& options = {});

  [[nodiscard]] bool is_writable() const noexcept { return writable_ && !is_read_only_; }
  // The whole virtual disk, by bytes; its size need not be a multiple of a sector.
  [[nodiscard]] const io::File& disk() const noexcept;
  // Lowest first, the writable one last.
  [[nodiscard]] const std::vector<ImageLayer>& layers() const noexcept { return layers_; }

  // The finished layers; null for an image that is an upper layer alone.
  [[nodiscard]] const lsmt::ReadOnlyStack* lowers() const noexcept { return lowers_.get(); }
  // For commit, seal and resize; null without an upper layer.
  [[nodiscard]] lsmt::WritableStack* writable() const noexcept { return writable_.get(); }

  // Whole sectors of the disk.
  [[nodiscard]] std::uint64_t size() const noexcept override;
  [[nodiscard]] int read(std::span<std::byte> destination, std::uint64_t offset) noexcept override;
  // -EROFS, these and the following, for a read-only image and for one that was sealed.
  [[nodiscard]] int write(std::span<const std::byte> source,
                          std::uint64_t offset) noexcept override;
  [[nodiscard]] int discard(std::uint64_t offset, std::uint64_t length) noexcept override;
  // In a sparse layer the range keeps its space. An append-only layer takes new space for whatever
  // is written, also over what is there, so it can promise none.
  [[nodiscard]] int write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept override;
  // Also of a read-only image, for which it has nothing to do.
  [[nodiscard]] int flush() noexcept override;

 private:
  Image() = default;
  void open_lowers(const ImageConfig& config, const OpenOptions& options);
  void open_upper(const ImageConfig& config, const OpenOptions& options);

  std::vector<ImageLayer> layers_;
  std::shared_ptr<const lsmt::ReadOnlyStack> lowers_;
  std::unique_ptr<lsmt::WritableStack> writable_;
  UpperLock upper_lock_;
  bool is_read_only_ = false;
};

}  // namespace varve::image
