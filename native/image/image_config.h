// The configuration of one image, config.v1.json: which layers make a device, lowest first.
//
// Keys, types and defaults are those of overlaybd. A key that is not known is ignored, as there. A
// known one works, or is refused by its name, or has a note that says what it does not do here;
// none is passed over in silence. A wrong type, a number out of range and a key that appears twice
// are refused, where overlaybd does something undefined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/file.h"

namespace varve::image {

// Configurations are kilobytes; a larger file is none.
inline constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;

// A key that is accepted without doing all that it says; for the log.
struct Note {
  std::string key;   // such as "download.enable"
  std::string text;  // a sentence
};

// Downloading complete layers in the background.
struct DownloadConfig {
  bool is_enabled = false;
  int delay_seconds = 300;
  int delay_extra_seconds = 30;  // at random on top; 30 for what is not positive
  int rate_max_mb = 100;         // MiB a second; not positive: no limit
  int attempts = 5;              // of each layer, all together
  std::uint32_t block_bytes = 262144;
};

struct LowerConfig {
  std::string file;       // a file that is the layer
  std::string directory;  // where a layer file is looked for
  std::string digest;     // of the blob
  std::uint64_t size = 0;
};

struct UpperConfig {
  std::string data;
  std::string index;
};

struct ImageConfig {
  std::string name;  // for messages: where the configuration came from
  std::string repository_url;
  std::vector<LowerConfig> lowers;   // at most 255; the one that only accelerates is left out
  std::optional<UpperConfig> upper;  // there: the device is writable
  std::string result_file;
  std::optional<DownloadConfig> download;  // there: it counts as a whole, not the global one
  std::vector<Note> notes;
};

// A configuration that is refused; the text begins with its name and names the key.
class ConfigError : public io::FormatError {
 public:
  ConfigError(int error, const std::string& text, ImageConfig read = {})
      : io::FormatError(error, text), read_(std::move(read)) {}
  // Where whoever wrote it looks for the outcome; empty if it says nothing, or is no JSON.
  [[nodiscard]] const std::string& result_file() const noexcept { return read_.result_file; }
  // What had been read of it by then.
  [[nodiscard]] const ImageConfig& read() const noexcept { return read_; }

 private:
  ImageConfig read_;
};

// Reads and checks; both throw ConfigError. Paths are as they stand in the file: see
// OpenOptions::folder.
ImageConfig load_image_config(const std::string& path);
ImageConfig parse_image_config(std::string_view text, const std::string& name);

}  // namespace varve::image
