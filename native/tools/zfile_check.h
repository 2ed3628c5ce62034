// Every checksum and every rule of a compressed file (ZFile), with the place of each that does not
// hold. Readers stop at the first defect; this goes on as long as it knows where things are.
#pragma once

#include <cstdint>
#include <functional>

#include "io/file.h"
#include "tools/findings.h"

namespace varve::tools {

struct ZFileCheck {
  bool is_readable = false;  // readers open it
  std::uint64_t blocks = 0;  // that were checked
};

// `file` begins like a ZFile. `progress` is told how many bytes of it are done.
[[nodiscard]] ZFileCheck check_zfile(const io::File& file, const Place& place,
                                     const std::function<void(std::uint64_t)>& progress);

}  // namespace varve::tools
