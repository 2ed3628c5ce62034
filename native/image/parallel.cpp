#include "image/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace varve::image {

void for_each_parallel(std::size_t count, unsigned threads_max,
                       const std::function<void(std::size_t)>& action) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> has_failed = false;
  std::mutex mutex;
  std::size_t failed_at = count;
  std::exception_ptr failure;
  const auto work = [&] {
    while (!has_failed) {
      const std::size_t at = next++;
      if (at >= count) return;
      try {
        action(at);
      } catch (...) {
        const std::lock_guard lock(mutex);
        has_failed = true;
        if (at > failed_at) continue;
        failed_at = at;
        failure = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t others = std::min<std::size_t>(count, std::max(threads_max, 1U));
    for (std::size_t at = 1; at < others; ++at) {
      try {
        threads.emplace_back(work);
      } catch (const std::system_error&) {
        break;  // Fewer do as well.
      }
    }
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace varve::image
