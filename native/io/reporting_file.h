// A file that tells of bytes that it cannot read: for content without checksums, of which nobody
// else would say which file of a stack is to be looked at.
#pragma once

#include <memory>

#include "io/file.h"

namespace varve::io {

// `listener` must live as long as the file.
std::unique_ptr<File> open_reporting(std::unique_ptr<const File> file, DamageListener& listener);

}  // namespace varve::io
