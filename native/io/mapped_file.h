// A file on disk that can show its bytes where they lie, in the page cache: reading them costs no
// copy. Meant for layers whose content is decompressed quickly.
//
// The mapped pages count as memory of the process while the kernel keeps them, and must not be
// locked: after mlockall(MCL_CURRENT) they would be, so that has to come before the first file is
// opened.
#pragma once

#include <memory>
#include <string>

#include "io/file.h"

namespace varve::io {

// Throws FormatError. Where mapping fails, the file is one without views.
std::unique_ptr<File> open_mapped_file(const std::string& path);

}  // namespace varve::io
