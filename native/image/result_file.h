// The file in which whoever asked for a device finds out what became of it: `success`, or `failed:`
// and why. Overlaybd's clients wait for it.
#pragma once

#include <optional>
#include <string>

namespace varve::image {

// Written when everything is decided. Nothing to do for an empty path. `failure` is why the image
// could not be opened or attached, nothing for success. 0 or a negative errno.
[[nodiscard]] int write_result_file(const std::string& path,
                                    const std::optional<std::string>& failure);

}  // namespace varve::image
