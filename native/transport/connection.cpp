#include "transport/connection.h"

namespace varve::transport {

void ConnectionEnd::set() noexcept {
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  changed_.notify_all();
}

bool ConnectionEnd::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return has_ended_; });
}

}  // namespace varve::transport
