// A thread that may wait for a device that this process serves itself.
#pragma once

#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>

#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();
#endif

namespace varve::transport {

// The first thing in a thread that shall have the standard descriptors alone and share none with the
// others, whose own stay as they are. So when the process ends while the thread waits, what the
// others had open is closed, and the device can end or be served by somebody else.
class OwnDescriptors {
 public:
  OwnDescriptors() noexcept {
    static_cast<void>(::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE));
#ifdef __SANITIZE_THREAD__
    // It takes descriptors of one number in two threads for the same.
    __tsan_ignore_thread_begin();
#endif
  }
#ifdef __SANITIZE_THREAD__
  ~OwnDescriptors() { __tsan_ignore_thread_end(); }
#else
  ~OwnDescriptors() = default;
#endif
  OwnDescriptors(const OwnDescriptors&) = delete;
  OwnDescriptors& operator=(const OwnDescriptors&) = delete;
};

// In such a thread, until it is done. What `work` uses of descriptors it opens itself.
template <typename Work>
auto with_own_descriptors(const Work& work) {
  return std::async(std::launch::async, [&work] {
           const OwnDescriptors own;
           return work();
         })
      .get();
}

}  // namespace varve::transport
