// The one queue of a ublk device: a thread that fetches requests from the kernel and answers them
// to it. The kernel takes both from this thread alone, and gives its requests back to whoever comes
// next when it ends, so it never waits for anything but the kernel and those who answer.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "syscalls/unique_fd.h"
#include "ublk/protocol.h"
#include "ublk/ring.h"

namespace varve::ublk {

struct FetchedRequest {
  std::uint16_t tag = 0;
  IoDescriptor descriptor;
};

class Queue {
 public:
  // Called by the thread of the queue.
  struct Listener {
    std::function<void(std::span<const FetchedRequest>)> fetched;
    // The kernel gives no more requests.
    std::function<void()> ended;
  };

  // Throws transport::TransportError.
  Queue(unsigned depth, Listener listener);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Fetches from the open character device of a ublk device, which stays open until the queue has
  // taken a descriptor of its own; comes back when the kernel has all commands. For once. Throws
  // transport::TransportError.
  void begin(int device);
  // Answers a request; from any thread.
  void answer(std::uint16_t tag, std::int32_t result) noexcept;
  // Fetches no more. What is not answered the kernel keeps for the next one who fetches.
  void end() noexcept;

 private:
  struct Answer {
    std::uint16_t tag;
    std::int32_t result;
  };
  enum class Stage { kStarting, kReady, kBegun, kFailed };

  static void* run(void* self);
  void run();
  [[nodiscard]] int open_ring() noexcept;
  [[nodiscard]] int fetch_all() noexcept;
  void serve() noexcept;
  // Whether the kernel has ended it.
  [[nodiscard]] bool collect() noexcept;
  void send_answers() noexcept;
  void watch_answers() noexcept;
  void set_stage(Stage stage, int error = 0) noexcept;
  void await_stage(Stage stage, const char* step);

  const unsigned depth_;
  const Listener listener_;
  UniqueFd wake_;
  Ring ring_;
  UniqueFd device_;
  const IoDescriptor* descriptors_ = nullptr;
  std::vector<FetchedRequest> fetched_;
  std::vector<Answer> sending_;
  bool has_told_end_ = false;

  std::mutex mutex_;  // for what follows
  std::condition_variable changed_;
  Stage stage_ = Stage::kStarting;
  int error_ = 0;  // why it has failed
  bool may_begin_ = false;
  bool is_ending_ = false;
  std::vector<Answer> answers_;

  std::mutex thread_mutex_;
  bool is_joined_ = false;
  pthread_t thread_ = {};
};

}  // namespace varve::ublk
