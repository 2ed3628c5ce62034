// A gate before everything that changes a device: while it is closed, whoever comes waits, and it
// is closed only when nobody is inside. Open, it costs two atomic additions.
#pragma once

#include <sys/prctl.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace varve::bd {

class WriteGate {
 public:
  void enter() noexcept {
    while (true) {
      inside_.fetch_add(1);
      if (!is_closed_.load()) return;
      leave();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !is_closed_.load(); });
    }
  }

  void leave() noexcept {
    if (inside_.fetch_sub(1) != 1 || !is_closed_.load()) return;
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  // Waits until nobody is inside. One caller at a time.
  void close() noexcept {
    std::unique_lock lock(mutex_);
    is_closed_.store(true);
    changed_.wait(lock, [this] { return inside_.load() == 0; });
  }

  void open() noexcept {
    const std::lock_guard lock(mutex_);
    is_closed_.store(false);
    changed_.notify_all();
  }

 private:
  std::atomic<std::uint32_t> inside_ = 0;
  std::atomic<bool> is_closed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

// Keeps a gate closed while it lives. The kernel's writeback may wait at it, so the thread that
// holds it, and those that it starts, must not wait for writeback when they need memory. Needs
// CAP_SYS_RESOURCE, as does the pool of the transport, which tells of it.
class ClosedGate {
 public:
  explicit ClosedGate(WriteGate& gate) noexcept : gate_(gate) {
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    gate_.close();
  }
  ~ClosedGate() {
    gate_.open();
    ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
  }
  ClosedGate(const ClosedGate&) = delete;
  ClosedGate& operator=(const ClosedGate&) = delete;

 private:
  WriteGate& gate_;
};

}  // namespace varve::bd
