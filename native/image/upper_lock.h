// Who has a writable layer: one that writes, or any number that read.
#pragma once

#include <string>

#include "syscalls/unique_fd.h"

namespace varve::image {

// Ends with the process at the latest.
struct UpperLock {
  UniqueFd data;
  UniqueFd index;
};

// Locks both files of a writable layer (flock): one data file with two index files, or two with one,
// would lose what was written. `index` may be empty for a sparse layer. Throws io::FormatError, EBUSY
// if somebody else has one of them.
[[nodiscard]] UpperLock lock_upper(const std::string& data, const std::string& index,
                                   bool is_read_only);

}  // namespace varve::image
