// The file that a command makes, which is none of those that it reads.
#pragma once

#include <string>
#include <vector>

#include "output/output_file.h"

namespace varve::tools {

// What a command reads if it takes `path` and perhaps its index file: of a configuration also the
// layers that it names.
[[nodiscard]] std::vector<std::string> inputs_of(const std::string& path,
                                                 const std::string& index = {});

// Throws Misuse if `path` is one of `inputs`, under whatever name, or standard output; else as
// OutputFile does.
[[nodiscard]] output::OutputFile open_output(const std::string& path, output::Existing existing,
                                             const std::vector<std::string>& inputs);

}  // namespace varve::tools
