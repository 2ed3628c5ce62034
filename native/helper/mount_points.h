// Which mount points lie below a directory, from the kernel's own table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace varve {

// The path of the first mount found directly below the open directory (or on a file in it), if any.
// Throws Failure if the table cannot be read: not knowing must not look like "none".
std::optional<std::string> mount_point_below(int directory);

// Undoes the octal escapes of a mountinfo field.
std::string unescape_mount_field(const std::string& field);

}  // namespace varve
