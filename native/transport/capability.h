// What this process may do.
#pragma once

namespace varve::transport {

// A number of linux/capability.h. True as well where the kernel cannot be asked: then what needs it
// says so itself.
[[nodiscard]] bool has_capability(unsigned number) noexcept;

inline constexpr const char* kNoAdminCapability =
    "this process lacks CAP_SYS_ADMIN: run it as root, or with that capability";

}  // namespace varve::transport
