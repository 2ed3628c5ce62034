#include "image/image.h"

#include <cerrno>
#include <new>
#include <utility>

#include "image/parallel.h"

namespace varve::image {

namespace {

struct OpenedLower {
  LayerFile file;
  lsmt::ReadOnlyLayer layer;
};

[[noreturn]] void refuse(int error, const std::string& text) {
  throw io::FormatError(error, text);
}

LayerFile open_remote(const LowerConfig& lower, const ImageConfig& config,
                      const OpenOptions& options) {
  if (lower.digest.empty()) {
    refuse(ENOENT, lower.file.empty() && lower.directory.empty()
                       ? "names no file, no dir and no digest"
                       : "there is no layer at " + (lower.file.empty() ? lower.directory
                                                                       : lower.file) +
                             ", and no digest by which a registry could be asked");
  }
  if (options.blobs == nullptr) {
    refuse(ENOTSUP, lower.digest +
                        ": the layer is not on this machine, and fetching layers from a "
                        "registry is not supported yet; put its file where lowers[].file or "
                        "lowers[].dir says");
  }
  if (config.repository_url.empty()) refuse(EINVAL, lower.digest + ": empty repoBlobUrl");
  return unwrap_layer(
      options.blobs->open({config.repository_url, lower.digest, lower.size, lower.directory}),
      {options.damage_listener, false});
}

LayerFile open_file_of(const LowerConfig& lower, const ImageConfig& config,
                       const OpenOptions& options) {
  const std::optional<std::string> path = find_local_file(lower, options.folder);
  if (!path) return open_remote(lower, config, options);
  if (options.blobs != nullptr && !lower.digest.empty()) {
    // As overlaybd does: a file that cannot be opened is as good as none, one that is damaged not.
    try {
      static_cast<void>(io::open_file(*path));
    } catch (const io::FormatError&) {
      return open_remote(lower, config, options);
    }
  }
  return open_layer_file(*path, {options.damage_listener, options.maps_files});
}

OpenedLower open_lower(std::size_t number, const ImageConfig& config,
                       const OpenOptions& options) {
  const auto which = [number] { return "lowers[" + std::to_string(number) + "]: "; };
  try {
    OpenedLower opened;
    opened.file = open_file_of(config.lowers[number], config, options);
    opened.layer = lsmt::open_read_only_layer(opened.file.content);
    return opened;
  } catch (const io::FormatError& error) {
    refuse(error.error(), which() + error.what());
  } catch (const std::bad_alloc&) {
    refuse(ENOMEM, which() + "no memory for the layer");
  }
}

// What a device answers must not depend on whether memory for an index entry was there.
template <class Action>
int guarded(const Action& action) noexcept {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (...) {
    return -EIO;
  }
}

}  // namespace

std::shared_ptr<Image> Image::open(const ImageConfig& config, const OpenOptions& options) {
  std::shared_ptr<Image> image(new Image);
  image->is_read_only_ = options.is_read_only;
  try {
    image->open_lowers(config, options);
    image->open_upper(config, options);
  } catch (const io::FormatError& error) {
    refuse(error.error(), config.name + ": " + error.what());
  } catch (const std::bad_alloc&) {
    refuse(ENOMEM, config.name + ": no memory for the index of the image");
  }
  if (!image->lowers_ && !image->writable_) refuse(EINVAL, config.name + ": there is no layer");
  return image;
}

void Image::open_lowers(const ImageConfig& config, const OpenOptions& options) {
  if (config.lowers.empty()) return;
  if (config.lowers.size() > lsmt::kStackLayersMax) {
    refuse(EINVAL, "lowers: has " + std::to_string(config.lowers.size()) +
                       " layers, a stack has at most " + std::to_string(lsmt::kStackLayersMax));
  }
  std::vector<OpenedLower> opened(config.lowers.size());
  for_each_parallel(opened.size(), options.threads_max, [&](std::size_t number) {
    opened[number] = open_lower(number, config, options);
  });
  std::vector<lsmt::ReadOnlyLayer> layers;
  layers.reserve(opened.size());
  layers_.reserve(opened.size() + 1);
  for (OpenedLower& one : opened) {
    ImageLayer& layer = layers_.emplace_back();
    layer.file = std::move(one.file);
    layer.header = one.layer.header;
    layer.trailer = one.layer.trailer;
    layer.mapping_count = one.layer.mappings.size();
    layers.push_back(std::move(one.layer));
  }
  lowers_ = std::make_shared<const lsmt::ReadOnlyStack>(std::move(layers), "lowers");
}

void Image::open_upper(const ImageConfig& config, const OpenOptions& options) {
  if (!config.upper) return;
  const std::string data = resolve_path(config.upper->data, options.folder);
  const std::string index = resolve_path(config.upper->index, options.folder);
  try {
    upper_lock_ = lock_upper(data, index, options.is_read_only);
    std::unique_ptr<lsmt::WritableLayer> upper = lsmt::WritableLayer::open(
        io::open_existing_writable_file(data, !options.is_read_only),
        io::open_existing_writable_file(index, !options.is_read_only), options.lost_data);
    ImageLayer& layer = layers_.emplace_back();
    layer.file.name = data;
    layer.file.file_bytes = upper->data().size();
    layer.is_writable = true;
    layer.header = upper->header();
    layer.mapping_count = upper->mapping_count();
    writable_ = std::make_unique<lsmt::WritableStack>(std::move(upper), lowers_, config.name,
                                                      options.is_read_only);
  } catch (const io::FormatError& error) {
    refuse(error.error(), "upper: " + std::string(error.what()));
  }
}

const io::File& Image::disk() const noexcept {
  if (writable_) return *writable_;
  return *lowers_;
}

std::uint64_t Image::size() const noexcept {
  return disk().size() / lsmt::kSectorSize * lsmt::kSectorSize;
}

int Image::read(std::span<std::byte> destination, std::uint64_t offset) noexcept {
  return disk().read(destination, offset);
}

int Image::write(std::span<const std::byte> source, std::uint64_t offset) noexcept {
  if (!is_writable()) return -EROFS;
  return guarded([&] { return writable_->upper().write(source, offset); });
}

int Image::discard(std::uint64_t offset, std::uint64_t length) noexcept {
  if (!is_writable()) return -EROFS;
  return guarded([&] { return writable_->upper().discard({offset, length}); });
}

int Image::write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept {
  if (!is_writable()) return -EROFS;
  return guarded([&] { return writable_->upper().write_zeroes({offset, length}); });
}

int Image::flush() noexcept {
  if (!is_writable()) return 0;
  return guarded([&] { return writable_->upper().flush(); });
}

}  // namespace varve::image
