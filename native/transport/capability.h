// What this process may do.
#pragma once

namespace varve::transport {

// A number of linux/capability.h. True as well where the kernel cannot be asked: then what needs it
// says so itself.
[[nodiscard]] bool has_capability(unsigned number) noexcept;

}  // namespace varve::transport
