// Touching mapped bytes that may not be there: the disk does not give them back, or the file became
// shorter. The kernel then sends SIGBUS, which here ends the work instead of the process.
#pragma once

namespace varve::io {

// Runs work(context). False if it touched bytes that could not be had: it was left where it stood,
// so it may hold nothing that needs a destructor, and what it was filling is unspecified. Not
// nested.
[[nodiscard]] bool run_guarded(void (*work)(void*), void* context) noexcept;

}  // namespace varve::io
