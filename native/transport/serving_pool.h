// The threads that serve all connections, on one epoll. Any thread serves any connection, and
// a request that takes long keeps only its own thread: when all of them wait for something (a disk,
// a registry) further ones are started, up to a bound, and end when they have had nothing to do.
//
// A connection gets a further thread only while it has fewer than would be left, so one that hangs
// holds half of them, a second one half of the rest. The first thread of each is beyond the bound:
// however many hang, the others are served.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "syscalls/unique_fd.h"
#include "transport/connection.h"

namespace varve::transport {

struct ServingPoolOptions {
  unsigned threads_min = 4;
  unsigned threads_max = 64;  // and one for each connection, and one without work
  // All threads busy for so long, and next to nothing done: then there is one more.
  std::chrono::milliseconds stall = std::chrono::milliseconds(10);
  std::chrono::milliseconds idle = std::chrono::seconds(2);
  // The memory of a thread; private to this process if there is nothing here.
  std::function<std::unique_ptr<RequestBuffer>()> make_buffer{};
};

class ServingPool {
 public:
  using Id = std::uint64_t;

  explicit ServingPool(const ServingPoolOptions& options = {});
  // Waits for requests that are being carried out; connections that are left are closed.
  ~ServingPool();
  ServingPool(const ServingPool&) = delete;
  ServingPool& operator=(const ServingPool&) = delete;

  // Serves the connection until the kernel ends it or it is removed. Throws TransportError.
  Id add(std::shared_ptr<Connection> connection);
  void remove(Id id) noexcept;

  [[nodiscard]] unsigned thread_count() const;
  [[nodiscard]] std::size_t connection_count() const;
  // 0, or the errno with which the kernel refuses to treat these threads as part of writeback
  // (EPERM without CAP_SYS_RESOURCE): under memory pressure a writable device may then wait for
  // itself.
  [[nodiscard]] int io_flusher_error() const noexcept { return io_flusher_error_; }

 private:
  struct Served;

  void start_thread(bool is_extra);
  void work(bool is_extra, std::list<std::thread>::iterator self,
            const RequestBuffer& buffer);
  void supervise();
  void note_busy() noexcept;
  bool retire(std::list<std::thread>::iterator self);
  void serve(Id id, const RequestBuffer& buffer) noexcept;
  void serve(Id id, Served& served, const RequestBuffer& buffer) noexcept;
  [[nodiscard]] bool may_grow(const Served& served) const noexcept;
  void arm_or_park(Id id, Served& served) const noexcept;
  void arm_parked(Id id, Served& served) const noexcept;
  [[nodiscard]] bool arm(Id id, int descriptor, int operation) const noexcept;
  [[nodiscard]] std::shared_ptr<Served> find(Id id) const noexcept;
  void stop() noexcept;

  const ServingPoolOptions options_;
  UniqueFd epoll_;
  UniqueFd stop_event_;

  mutable std::mutex connections_mutex_;
  std::unordered_map<Id, std::shared_ptr<Served>> connections_;
  Id next_id_ = 1;

  mutable std::mutex threads_mutex_;
  std::condition_variable supervisor_wake_;
  std::condition_variable stop_wake_;
  bool is_stopping_ = false;
  std::list<std::thread> threads_;
  std::list<std::thread> retired_;  // ended or about to; joined by the supervisor

  std::atomic<unsigned> idle_count_ = 0;
  std::atomic<unsigned> busy_count_ = 0;
  std::atomic<bool> is_supervisor_waiting_ = false;
  std::atomic<std::uint64_t> completed_count_ = 0;
  int io_flusher_error_ = 0;
  std::thread supervisor_;
};

}  // namespace varve::transport
