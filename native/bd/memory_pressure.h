// How the daemon gets along when memory is short: the kernel then writes to devices to get some, and
// must not have to wait for ours to get any.
#pragma once

#include <string>
#include <vector>

namespace varve::bd {

// Keeps the process in memory, and has the kernel end others first. Before anything is mapped that
// must not be touched as a whole, such as the ring of a device that may be gone. What the system refuses is
// answered, each a sentence that says what may happen and what to do.
[[nodiscard]] std::vector<std::string> prepare_for_memory_pressure();

}  // namespace varve::bd
