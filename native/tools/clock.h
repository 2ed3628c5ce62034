// What a clock of the system shows, for measurements.
#pragma once

#include <time.h>

namespace varve::tools {

// Seconds since the clock's own beginning.
inline double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace varve::tools
