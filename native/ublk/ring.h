// An io_uring of one thread, and commands of ublk in it.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "ublk/protocol.h"

namespace varve::ublk {

class Ring {
 public:
  // 0 or a negative errno. `flags` as io_uring_setup(2) has them.
  [[nodiscard]] int open(unsigned entries, unsigned flags) noexcept {
    const int error = ::io_uring_queue_init(entries, &ring_, flags);
    is_open_ = error == 0;
    static_cast<void>(closings_.load(std::memory_order_acquire));
    has_large_entries_ = (flags & IORING_SETUP_SQE128) != 0;
    return error;
  }
  Ring() = default;
  ~Ring() { close(); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // The kernel gives up all commands that are under way.
  void close() noexcept {
    if (!is_open_) return;
    closings_.fetch_add(1, std::memory_order_release);
    ::io_uring_queue_exit(&ring_);
    is_open_ = false;
  }

  [[nodiscard]] io_uring* get() noexcept { return &ring_; }

  // For the next submission; what is full is submitted before.
  [[nodiscard]] io_uring_sqe* next() noexcept {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
      static_cast<void>(::io_uring_submit(&ring_));
      entry = ::io_uring_get_sqe(&ring_);
    }
    std::memset(static_cast<void*>(entry), 0, has_large_entries_ ? 2 * sizeof *entry : sizeof *entry);
    return entry;
  }

  // Commands name them by their place from then on; without, only slower. 0 or a negative errno.
  [[nodiscard]] int keep_at_hand(int file) noexcept {
    static_cast<void>(::io_uring_register_ring_fd(&ring_));
    const int error = ::io_uring_register_files(&ring_, &file, 1);
    has_file_at_hand_ = error == 0;
    return error;
  }

  template <typename Command>
  void command(int file, std::uint32_t operation, const Command& command,
               std::uint64_t user_data) noexcept {
    io_uring_sqe* entry = next();
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = has_file_at_hand_ ? 0 : file;
    entry->flags = has_file_at_hand_ ? IOSQE_FIXED_FILE : 0;
    entry->cmd_op = operation;
    entry->user_data = user_data;
    std::memcpy(reinterpret_cast<char*>(entry) + kCommandAt, &command, sizeof command);
  }

 private:
  // A ring may lie where one of another thread lay before. The kernel orders the two, but liburing
  // maps and unmaps by its own calls, which no sanitizer sees.
  static inline std::atomic<std::uint64_t> closings_ = 0;

  io_uring ring_ = {};
  bool is_open_ = false;
  bool has_large_entries_ = false;
  bool has_file_at_hand_ = false;
};

}  // namespace varve::ublk
