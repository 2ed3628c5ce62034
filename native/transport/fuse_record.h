// What a successor has to know of a device besides its descriptors: a JSON document that is parked
// with them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "syscalls/unique_fd.h"

namespace varve::transport {

struct FuseRecord {
  std::uint64_t key = 0;  // of its requests
  bool is_read_only = false;
  bool has_resend = false;  // the kernel sends unanswered requests again
  dev_t fuse_device = 0;
  dev_t loop_device = 0;
  std::string path;
  std::string note;  // of whoever attached it
};

// In a file without a name; throws TransportError without memory for one.
[[nodiscard]] UniqueFd write_record(const FuseRecord& record);

// Reads it from a file; throws TransportError for what is none, and for one of another version.
[[nodiscard]] FuseRecord read_record(int file);

}  // namespace varve::transport
