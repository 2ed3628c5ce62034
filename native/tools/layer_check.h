// A check of one layer file from the outside in: archive, compression, layer.
#pragma once

#include <cstdint>
#include <string>

#include "tools/findings.h"

namespace varve::tools {

struct LayerCheck {
  std::string path;
  std::string failure;  // why it could not be checked at all, with its path; else empty
  std::string what;  // what it turned out to be
  std::uint64_t blocks = 0;
  std::uint64_t entries = 0;
  Findings findings;
  // Of the index file of a writable layer, whose offsets count in that file.
  std::string index_path;
  Findings index_findings;

  [[nodiscard]] bool is_sound() const noexcept { return failure.empty() && defects() == 0; }
  [[nodiscard]] std::uint64_t defects() const noexcept {
    return findings.defects() + index_findings.defects();
  }
};

// `index` is the index file of a writable layer, or empty. Throws Misuse if it is not for this one.
[[nodiscard]] LayerCheck check_layer(const std::string& path, const std::string& index);

}  // namespace varve::tools
