// A device's content from front to back, as runs of data and runs that are known to be zeros, so
// that nobody has to read through terabytes of nothing.
#pragma once

#include <cstdint>

#include "io/file.h"
#include "lsmt/index.h"
#include "lsmt/writable_layer.h"

namespace varve::tools {

struct Run {
  std::uint64_t length = 0;  // bytes, not 0
  bool is_zeros = false;
};

// What a device consists of. Whatever is not mapped, or mapped to zeros, reads as zeros.
struct Content {
  const io::File* disk = nullptr;
  const lsmt::Index* lower = nullptr;          // null: no finished layers
  const lsmt::WritableLayer* upper = nullptr;  // null: nothing that can be written
};

// The run that begins at byte `offset` and ends at `end` at the latest; `offset` is below `end`.
[[nodiscard]] Run next_run(const Content& content, std::uint64_t offset, std::uint64_t end);

// The same, as it is worth being read at once: data up to 4 MiB, with short runs of zeros in it.
[[nodiscard]] Run next_piece(const Content& content, std::uint64_t offset, std::uint64_t end);

}  // namespace varve::tools
