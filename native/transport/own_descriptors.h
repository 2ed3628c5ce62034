// A thread that may wait for a device that this process serves itself.
#pragma once

#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>

namespace varve::transport {

// Of this thread alone, from now on; those of the others stay as they are. So when the process ends
// while the thread waits, what the others had open is closed, and the device can end or be served
// by somebody else.
inline void hold_standard_descriptors_alone() noexcept {
  static_cast<void>(::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE));
}

// In such a thread, until it is done. What `work` uses of descriptors it opens itself.
template <typename Work>
auto with_own_descriptors(const Work& work) {
  return std::async(std::launch::async, [&work] {
           hold_standard_descriptors_alone();
           return work();
         })
      .get();
}

}  // namespace varve::transport
