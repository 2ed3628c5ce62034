// Work that somebody waits for until a deadline: either it finishes or it is given up, and both
// sides know which.
#pragma once

#include <atomic>

namespace varve::bd {

class Cancellation {
 public:
  // By who waits: whether the work is given up. False if it has finished.
  bool cancel() noexcept { return decide(State::kCancelled); }
  // By the work, before its result can be seen: whether it counts. False if it was given up.
  bool finish() noexcept { return decide(State::kFinished); }
  [[nodiscard]] bool is_cancelled() const noexcept { return state_.load() == State::kCancelled; }

 private:
  enum class State { kRunning, kCancelled, kFinished };

  bool decide(State wanted) noexcept {
    State found = State::kRunning;
    return state_.compare_exchange_strong(found, wanted) || found == wanted;
  }

  std::atomic<State> state_ = State::kRunning;
};

}  // namespace varve::bd
