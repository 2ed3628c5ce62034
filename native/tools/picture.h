// A picture in text of where a layer's data lies in the virtual device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lsmt/mapping.h"

namespace varve::tools {

struct Canvas {
  std::size_t columns = 64;
  std::size_t rows_max = 16;
};

// Lines that each begin with where they begin in the device, and hold a letter for each of
// canvas.columns equal stretches of it:
//   # all of it data, + part of it data, z nothing but zeros (some of it may be unmapped), .
//   unmapped
// A stretch is a whole number of sectors, and as small as it can be. What is mapped behind `size`
// is not shown; without a size there are no lines.
[[nodiscard]] std::vector<std::string> draw(std::span<const lsmt::Mapping> mappings,
                                            std::uint64_t size, const Canvas& canvas);

// What the letters mean, for `size` bytes on that canvas.
[[nodiscard]] std::string legend(std::uint64_t size, const Canvas& canvas);

}  // namespace varve::tools
