#include "bd/layer_images.h"

#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "image/image.h"
#include "image/image_config.h"
#include "image/json_object.h"
#include "image/layer_file.h"
#include "image/result_file.h"

namespace varve::bd {

namespace {

class LayerImage final : public Image {
 public:
  explicit LayerImage(std::shared_ptr<image::Image> image) : image_(std::move(image)) {}

  [[nodiscard]] bool is_writable() const noexcept override { return image_->is_writable(); }
  [[nodiscard]] std::size_t layer_count() const noexcept override {
    return image_->layers().size();
  }
  [[nodiscard]] std::uint64_t dropped_entries() const noexcept override {
    return image_->writable() != nullptr ? upper().dropped_entries() : 0;
  }

  void commit(const lsmt::LayerOptions& options, const lsmt::Output& output) override {
    upper().commit(options, output);
  }
  void seal() override { upper().seal(); }
  [[nodiscard]] int resize(std::uint64_t size_bytes) override {
    return upper().resize(size_bytes);
  }

  [[nodiscard]] std::uint64_t size() const noexcept override { return image_->size(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) noexcept override {
    return image_->read(destination, offset);
  }
  [[nodiscard]] int write(std::span<const std::byte> source,
                          std::uint64_t offset) noexcept override {
    return image_->write(source, offset);
  }
  [[nodiscard]] int discard(std::uint64_t offset, std::uint64_t length) noexcept override {
    return image_->discard(offset, length);
  }
  [[nodiscard]] int write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept override {
    return image_->write_zeroes(offset, length);
  }
  [[nodiscard]] int flush() noexcept override { return image_->flush(); }

 private:
  [[nodiscard]] lsmt::WritableLayer& upper() const { return image_->writable()->upper(); }

  std::shared_ptr<image::Image> image_;
};

std::string resolved_result_file(const std::string& path, const std::string& folder) {
  return path.empty() ? path : image::resolve_path(path, folder);
}

// All that an open reads, the configuration as well.
std::vector<image::NamedFile> all_files(const image::ImageConfig& config, const std::string& path,
                                        const std::string& folder) {
  std::vector<image::NamedFile> files = image::files_of(config, folder);
  files.push_back({"configuration", path});
  return files;
}

class LayerConfiguration final : public ImageConfiguration {
 public:
  LayerConfiguration(image::ImageConfig config, std::string folder, std::string text)
      : config_(std::move(config)), folder_(std::move(folder)), text_(std::move(text)) {}

  [[nodiscard]] const std::string& text() const noexcept override { return text_; }

  [[nodiscard]] const std::string& result_file() const noexcept override {
    return config_.result_file;
  }

  [[nodiscard]] bool has_writable_layer() const noexcept override {
    return config_.upper.has_value();
  }

  [[nodiscard]] bool is_sealed() const override {
    if (!config_.upper) return false;
    return lsmt::was_sealed(*io::open_existing_writable_file(
        image::resolve_path(config_.upper->data, folder_), false));
  }

  [[nodiscard]] std::unique_ptr<Image> open(io::DamageListener& listener,
                                            OpenMode mode) const override {
    image::OpenOptions options;
    options.folder = folder_;
    options.damage_listener = &listener;
    options.is_read_only = mode == OpenMode::kReadOnly;
    // Writes that nobody had flushed may be gone after a loss of power, as on any disk.
    options.lost_data = lsmt::LostData::kDrop;
    if (mode != OpenMode::kSealed || !config_.upper) {
      return std::make_unique<LayerImage>(image::Image::open(config_, options));
    }
    image::ImageConfig config = config_;
    config.lowers.push_back({.file = config.upper->data, .directory = {}, .digest = {}, .size = 0});
    config.upper.reset();
    return std::make_unique<LayerImage>(image::Image::open(config, options));
  }

 private:
  image::ImageConfig config_;
  std::string folder_;
  std::string text_;
};

}  // namespace

std::unique_ptr<ImageConfiguration> LayerImages::load(const std::string& path) const {
  return parse(image::read_text(path), path);
}

std::unique_ptr<ImageConfiguration> LayerImages::parse(const std::string& text,
                                                       const std::string& path) const {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  image::ImageConfig config;
  try {
    config = image::parse_image_config(text, path);
  } catch (const image::ConfigError& error) {
    image::ImageConfig read;
    read.result_file = resolved_result_file(error.result_file(), folder);
    // Then the reply alone tells.
    if (const std::optional<std::string> obstacle =
            image::result_file_obstacle(read.result_file, all_files(error.read(), path, folder))) {
      log_.warn("a result file cannot be written",
                {{"config", path}, {"path", read.result_file}, {"reason", *obstacle}});
      read.result_file.clear();
    }
    throw image::ConfigError(error.error(), error.what(), std::move(read));
  }
  config.result_file = resolved_result_file(config.result_file, folder);
  // Not told in that file, of course.
  if (const std::optional<std::string> obstacle =
          image::result_file_obstacle(config.result_file, all_files(config, path, folder))) {
    throw image::ConfigError(EINVAL,
                             path + ": resultFile: " + config.result_file + ": " + *obstacle);
  }
  for (const image::Note& note : config.notes) {
    log_.warn(note.text, {{"config", path}, {"key", note.key}});
  }
  return std::make_unique<LayerConfiguration>(std::move(config), folder, text);
}

}  // namespace varve::bd
