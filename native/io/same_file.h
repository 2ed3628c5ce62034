// Whether two paths lead to one file, whatever they are called.
#pragma once

#include <string>

namespace varve::io {

// Through links of both kinds. Of files that do not exist, whether making both would make one.
[[nodiscard]] bool is_same_file(const std::string& one, const std::string& other);

}  // namespace varve::io
