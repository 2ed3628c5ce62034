// The file that a commit writes: the finished layer as it is, compressed, in a tar archive, or
// both. It appears under its name when it is whole and durable, and never replaces a file.
#pragma once

#include <cstdint>

#include "bd/cancellation.h"
#include "bd/image.h"
#include "bd/request.h"

namespace varve::bd {

struct CommitSummary {
  std::uint64_t layer_bytes = 0;  // before compression
  std::uint64_t file_bytes = 0;
};

// Throws io::FormatError; nothing is left then. ECANCELED if it was cancelled.
CommitSummary commit_to_file(Image& image, const CommitRequest& request,
                             Cancellation& cancellation);

}  // namespace varve::bd
