// A stretch of another file as a file of its own: the content of an archive's entry.
#pragma once

#include <memory>

#include "io/file.h"

namespace varve::io {

// `range` has to lie within `file`, else FormatError. Messages call it `name`.
std::unique_ptr<File> open_slice(std::unique_ptr<const File> file, const ByteRange& range,
                                 std::string name);

}  // namespace varve::io
