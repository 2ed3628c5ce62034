// The file in which whoever asked for a device finds out what became of it: `success`, or `failed:`
// and why. Overlaybd's clients wait for it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/layer_file.h"

namespace varve::image {

// Why a path cannot be that of an image's result file, or nothing: it is one of the image's own
// files, under whatever name and also if it is not there yet, or a file that holds something else
// than an earlier result. Nothing is written.
[[nodiscard]] std::optional<std::string> result_file_obstacle(const std::string& path,
                                                              const std::vector<NamedFile>& files);

// Written when everything is decided. Nothing to do for an empty path. `failure` is why the image
// could not be opened or attached, nothing for success. Only a regular file is written to that is
// empty, or holds an earlier result, and that no device has locked. Why it was not written, or
// nothing.
[[nodiscard]] std::optional<std::string> write_result_file(
    const std::string& path, const std::optional<std::string>& failure);

}  // namespace varve::image
