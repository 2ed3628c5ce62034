// The blocks of an archive, taken from its stream.
#pragma once

#include <cerrno>
#include <cstring>
#include <span>

#include "apply/apply_error.h"
#include "apply/read_ahead.h"
#include "tar/header.h"

namespace varve::apply {

// Fills `destination`; false at the end of the stream when nothing was left. Throws ApplyError
// when the stream ends in between.
inline bool read_all(ReadAhead& input, std::span<std::byte> destination) {
  std::size_t done = 0;
  while (done < destination.size()) {
    const std::span<const std::byte> bytes = input.next(destination.size() - done);
    if (bytes.empty() && done == 0) return false;
    if (bytes.empty()) {
      throw ApplyError(EINVAL, "the archive ends in the middle of a member");
    }
    std::memcpy(destination.data() + done, bytes.data(), bytes.size());
    done += bytes.size();
  }
  return true;
}

// One that has to be there.
inline void read_block(ReadAhead& input, tar::Block& block) {
  if (!read_all(input, block)) {
    throw ApplyError(EINVAL, "the archive ends in the middle of a member");
  }
}

}  // namespace varve::apply
