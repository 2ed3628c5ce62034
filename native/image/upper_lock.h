// Who has a writable layer: one that writes, or any number that read.
#pragma once

#include <string>

#include "syscalls/unique_fd.h"

namespace varve::image {

// Locks the data file of a writable layer (flock); the lock ends with the descriptor. Throws
// io::FormatError, EBUSY if somebody else has it.
[[nodiscard]] UniqueFd lock_upper(const std::string& data, bool is_read_only);

}  // namespace varve::image
