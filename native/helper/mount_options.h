// Mount options as containerd writes them, sorted into what the kernel takes where.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace varve {

struct MountOptions {
  uint64_t flags = 0;             // MS_* without propagation
  uint64_t propagation = 0;       // MS_SHARED and its like; changed by a call of its own
  std::vector<std::string> data;  // everything else, in its order

  [[nodiscard]] std::string joined_data() const;
};

MountOptions parse_mount_options(const std::vector<std::string>& options);

// MOUNT_ATTR_* bits for the flags that belong to a mount, not to its file system.
uint64_t mount_attributes(uint64_t flags);

// The names of the flags that belong to the file system, for fsconfig.
std::vector<std::string> file_system_flags(uint64_t flags);

// Splits a lowerdir value at its colons and undoes the backslash escapes.
std::vector<std::string> split_lower_directories(const std::string& value);

}  // namespace varve
