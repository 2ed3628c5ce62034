// Work that can block: each piece has a thread of its own, so that one that hangs delays no other.
// Their number is bounded by whoever starts them. A thread that hangs cannot be ended; the process
// ends without waiting for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

namespace varve::bd {

class Jobs {
 public:
  // Throws std::system_error if the system has no thread for it.
  void start(std::function<void()> work);
  // Whether all have ended by then.
  bool wait_until_idle(std::chrono::steady_clock::time_point deadline);

 private:
  // Outlives this where a job does.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t running = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace varve::bd
