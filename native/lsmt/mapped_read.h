// Reading a stretch of a virtual disk by its mappings; what is not mapped reads as zeros.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "io/file.h"
#include "lsmt/lookup.h"

namespace varve::lsmt {

// `find(range, found)` looks mappings up, `file_of(layer)` gives the file that a mapping's data lies
// in. Returns 0 or a negative errno. Any offset and length will do.
template <class Find, class FileOf>
int read_mapped(const Find& find, const FileOf& file_of, std::span<std::byte> destination,
                std::uint64_t offset) {
  const std::uint64_t end = offset + destination.size();
  std::uint64_t at = offset;
  const auto zeros_until = [&](std::uint64_t until) {
    if (until <= at) return;
    std::memset(destination.data() + (at - offset), 0, until - at);
    at = until;
  };
  Found found;
  while (at < end) {
    const std::uint64_t first = at / kSectorSize;
    find(SectorRange{first, (end - 1) / kSectorSize + 1 - first}, found);
    for (std::size_t number = 0; number < found.count;) {
      const Mapping& mapping = found.mappings[number++];
      zeros_until(std::min(end, mapping.first() * kSectorSize));
      std::uint64_t until = mapping.end() * kSectorSize;
      if (mapping.is_zeroed()) {
        zeros_until(std::min(end, until));
        continue;
      }
      // What lies side by side on the disk and in the file is read at once.
      for (std::uint64_t data_end = mapping.data_end(); number < found.count; ++number) {
        const Mapping& next = found.mappings[number];
        if (next.is_zeroed() || next.layer() != mapping.layer() ||
            next.first() * kSectorSize != until || next.data_first() != data_end) {
          break;
        }
        until = next.end() * kSectorSize;
        data_end = next.data_end();
      }
      until = std::min(end, until);
      const std::uint64_t skipped = at - mapping.first() * kSectorSize;
      const int error = file_of(mapping.layer())
                            .read(destination.subspan(at - offset, until - at),
                                  mapping.data_first() * kSectorSize + skipped);
      // A file that became shorter is damage, not a wrong request.
      if (error != 0) return error == -EINVAL ? -EIO : error;
      at = until;
    }
    if (found.count < kFoundMax) zeros_until(end);
  }
  return 0;
}

}  // namespace varve::lsmt
