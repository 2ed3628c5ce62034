// What is known about one layer file: its wrapping, its header and trailer, its mappings.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "image/layer_file.h"
#include "lsmt/header.h"
#include "lsmt/mapping.h"
#include "tools/source_files.h"

namespace varve::tools {

struct Inspection {
  image::LayerFile file;
  Shape shape = Shape::kOther;
  std::optional<lsmt::Header> header;
  std::optional<lsmt::Header> trailer;  // of a finished layer
  std::uint64_t virtual_size = 0;       // of the one that counts
  std::uint64_t index_entries = 0;      // of a finished layer, padding and all
  std::vector<lsmt::Mapping> mappings;
};

// `index` is the index file of a writable layer, else empty. Throws Failure and io::FormatError.
[[nodiscard]] Inspection inspect(const std::string& path, const std::string& index);

// "finished layer (sealed in place)" and so on.
[[nodiscard]] std::string kind_of(const Inspection& inspection);

[[nodiscard]] nlohmann::ordered_json to_json(const Inspection& inspection, bool has_extents);

struct View {
  bool has_extents = false;
  std::size_t width = 80;
};
[[nodiscard]] std::string to_text(const Inspection& inspection, const View& view);

}  // namespace varve::tools
