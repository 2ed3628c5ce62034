// Opening what a command reads: never made, never changed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "image/image_config.h"
#include "image/layer_file.h"
#include "io/file.h"
#include "lsmt/writable_layer.h"

namespace varve::tools {

enum class Access { kRead, kWrite };

// Throws Failure if there is no such regular file. A file opened for reading refuses to be written.
[[nodiscard]] std::unique_ptr<io::WritableFile> open_existing(const std::string& path,
                                                              Access access);

// An empty file without a name, for a layer without an index file.
[[nodiscard]] std::unique_ptr<io::WritableFile> open_nothing();

// A writable layer for reading; a sparse one may be without an index. Throws Failure and
// io::FormatError.
[[nodiscard]] std::unique_ptr<lsmt::WritableLayer> open_writable_layer(const std::string& data,
                                                                       const std::string& index,
                                                                       Access access,
                                                                       lsmt::LostData lost_data);

// All that is mapped, in the order of the device.
[[nodiscard]] std::vector<lsmt::Mapping> mappings_of(const lsmt::WritableLayer& layer);

// How many bytes of data mappings point at.
[[nodiscard]] std::uint64_t data_size(std::span<const lsmt::Mapping> mappings);

enum class Shape { kFinished, kWritable, kIndexOfWritable, kOther };

// What a file without its wrapping is, by the blocks at its ends: finished also if the header is
// gone and only the trailer shows that there was a layer. A writable layer whose last data looks
// like a trailer (somebody wrote a layer into it) can only be told by having an index file.
[[nodiscard]] Shape shape_of(const io::File& content, bool has_index);

// Whether a file is a configuration: it begins with a brace.
[[nodiscard]] bool is_config(const std::string& path);

// Reads and checks a configuration; what it says and is not done is told. Throws image::ConfigError.
[[nodiscard]] image::ImageConfig load_config(const std::string& path);

// Where a configuration's relative paths are taken from.
[[nodiscard]] std::string folder_of(const std::string& config);

}  // namespace varve::tools
