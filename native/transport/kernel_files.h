// Small files of the kernel, in procfs, sysfs and configfs, that say what there is and take orders.
#pragma once

#include <string>
#include <vector>

namespace varve::transport {

// The first line; empty if it cannot be read.
std::string read_line(const std::string& path);
// 0 or a negative errno.
int write_text(const std::string& path, const std::string& text) noexcept;
// The names in a directory; none if it cannot be read.
std::vector<std::string> names_in(const std::string& path);

}  // namespace varve::transport
