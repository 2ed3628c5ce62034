#include "bd/jobs.h"

#include <thread>

namespace varve::bd {

void Jobs::start(std::function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->running;
  }
  const auto end = [](State& state) {
    const std::lock_guard lock(state.mutex);
    --state.running;
    state.changed.notify_all();
  };
  try {
    std::thread([state = state_, work = std::move(work), end]() mutable {
      work();
      // What it holds may be devices, whose end is part of the work.
      work = nullptr;
      end(*state);
    }).detach();
  } catch (...) {
    end(*state_);
    throw;
  }
}

bool Jobs::wait_until_idle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_until(lock, deadline, [this] { return state_->running == 0; });
}

}  // namespace varve::bd
