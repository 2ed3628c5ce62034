// What a sealed LSMT layer holds, laid out flat: the shortest reading there is of the format, so
// that the content of recorded layers can be held against the sums that came with them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace varve::test {

// Holes and zeroed ranges are zeros. Fails the test for anything but a layer.
std::vector<std::byte> flatten_layer(std::span<const std::byte> layer);

}  // namespace varve::test
