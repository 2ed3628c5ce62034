// What the daemon needs of an opened image: the content of its device, and the work on its writable
// layer. Where images come from is a seam, so that the daemon can be tested without files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "io/file.h"
#include "lsmt/layer_writer.h"
#include "transport/block_device.h"

namespace varve::bd {

class Image : public transport::BlockDevice {
 public:
  // Whether it has a layer that can be written.
  [[nodiscard]] virtual bool is_writable() const noexcept = 0;
  [[nodiscard]] virtual std::size_t layer_count() const noexcept = 0;
  // Entries of the writable layer that a loss of power left without their data, and that were
  // dropped.
  [[nodiscard]] virtual std::uint64_t dropped_entries() const noexcept { return 0; }

  // The following are for a writable one, and nothing is written to it meanwhile.

  // Writes the writable layer as a finished one; throws io::FormatError.
  virtual void commit(const lsmt::LayerOptions& options, const lsmt::Output& output) = 0;
  // Finishes the writable layer in place; throws io::FormatError. Writes fail afterwards.
  virtual void seal() = 0;
  [[nodiscard]] virtual int resize(std::uint64_t size_bytes) = 0;
};

enum class OpenMode {
  kWritable,  // if it names a writable layer
  kReadOnly,  // writes to no file
  kSealed,    // the writable layer has been finished: it is a layer like any other
};

// What a configuration says, checked.
class ImageConfiguration {
 public:
  virtual ~ImageConfiguration() = default;
  // What the file holds, which a successor may need when the file is another one by then.
  [[nodiscard]] virtual const std::string& text() const noexcept = 0;
  // Where success or failure is written for overlaybd's clients; empty: nowhere.
  [[nodiscard]] virtual const std::string& result_file() const noexcept = 0;
  // Whether it names a writable layer.
  [[nodiscard]] virtual bool has_writable_layer() const noexcept = 0;
  // Whether that has been finished. Throws io::FormatError.
  [[nodiscard]] virtual bool is_sealed() const = 0;
  // Told of damage: `listener`, which outlives the image. Throws io::FormatError.
  [[nodiscard]] virtual std::unique_ptr<Image> open(io::DamageListener& listener,
                                                    OpenMode mode) const = 0;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Reads a configuration file; called from several threads. Throws image::ConfigError, whose result
  // file is an absolute path, and io::FormatError.
  [[nodiscard]] virtual std::unique_ptr<ImageConfiguration> load(const std::string& path) const = 0;
  // The same, of what the file held once.
  [[nodiscard]] virtual std::unique_ptr<ImageConfiguration> parse(const std::string& text,
                                                                  const std::string& path) const = 0;
};

}  // namespace varve::bd
