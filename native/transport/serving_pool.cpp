#include "transport/serving_pool.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include "transport/transport.h"

namespace varve::transport {

namespace {

constexpr ServingPool::Id kStopId = 0;
// A connection that always has requests gives way to the others after so many.
constexpr int kTurnRequests = 16;

[[noreturn]] void fail(const char* step) {
  const int error = errno;
  throw TransportError(error,
                       std::string("serving threads: ") + step + ": " + std::strerror(error));
}

}  // namespace

// A connection and the threads that are in it.
struct ServingPool::Served {
  explicit Served(std::shared_ptr<Connection> served) : connection(std::move(served)) {}

  const std::shared_ptr<Connection> connection;
  std::atomic<unsigned> thread_count = 0;
  // Not armed, because it has its share of threads; whoever leaves it next arms it.
  std::atomic<bool> is_parked = false;
};

ServingPool::ServingPool(const ServingPoolOptions& options) : options_(options) {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) fail("epoll_create1");
  stop_event_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!stop_event_) fail("eventfd");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kStopId;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_event_.get(), &event) != 0) fail("epoll_ctl");
#ifdef PR_GET_IO_FLUSHER
  // Reading it asks for the same right as setting it.
  if (::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) < 0) io_flusher_error_ = errno;
#endif
  try {
    for (unsigned index = 0; index < options_.threads_min; ++index) start_thread(false);
    supervisor_ = std::thread([this] { supervise(); });
  } catch (...) {
    stop();
    throw;
  }
}

ServingPool::~ServingPool() {
  stop();
  // Out of the lock, because the end of a connection calls into its content.
  std::unordered_map<Id, std::shared_ptr<Served>> left;
  const std::lock_guard lock(connections_mutex_);
  left.swap(connections_);
}

void ServingPool::stop() noexcept {
  {
    const std::lock_guard lock(threads_mutex_);
    is_stopping_ = true;
    supervisor_wake_.notify_all();
    stop_wake_.notify_all();
  }
  static_cast<void>(::eventfd_write(stop_event_.get(), 1));
  if (supervisor_.joinable()) supervisor_.join();
  // Nobody retires any more, so the lists stay as they are.
  for (std::thread& thread : threads_) thread.join();
  for (std::thread& thread : retired_) thread.join();
  threads_.clear();
  retired_.clear();
}

ServingPool::Id ServingPool::add(std::shared_ptr<Connection> connection) {
  const int descriptor = connection->descriptor();
  Id id = 0;
  {
    const std::lock_guard lock(connections_mutex_);
    id = next_id_++;
    connections_.emplace(id, std::make_shared<Served>(std::move(connection)));
  }
  if (!arm(id, descriptor, EPOLL_CTL_ADD)) {
    const int error = errno;
    remove(id);
    errno = error;
    fail("epoll_ctl");
  }
  return id;
}

void ServingPool::remove(Id id) noexcept {
  std::shared_ptr<Served> removed;  // let go outside of the lock
  {
    const std::lock_guard lock(connections_mutex_);
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    removed = std::move(found->second);
    connections_.erase(found);
  }
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, removed->connection->descriptor(), nullptr);
}

unsigned ServingPool::thread_count() const {
  const std::lock_guard lock(threads_mutex_);
  return static_cast<unsigned>(threads_.size());
}

std::size_t ServingPool::connection_count() const {
  const std::lock_guard lock(connections_mutex_);
  return connections_.size();
}

bool ServingPool::arm(Id id, int descriptor, int operation) const noexcept {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = id;
  return ::epoll_ctl(epoll_.get(), operation, descriptor, &event) == 0;
}

std::shared_ptr<ServingPool::Served> ServingPool::find(Id id) const noexcept {
  const std::lock_guard lock(connections_mutex_);
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

void ServingPool::start_thread(bool is_extra) {
  auto buffer =
      options_.make_buffer ? options_.make_buffer() : std::make_unique<RequestBuffer>();
  const std::lock_guard lock(threads_mutex_);
  const auto self = threads_.emplace(threads_.end());
  // Counted here, so that a thread that has not come to its first wait is not taken for a busy one.
  ++idle_count_;
  try {
    *self = std::thread([this, is_extra, self, buffer = std::move(buffer)] {
      work(is_extra, self, *buffer);
    });
  } catch (...) {
    --idle_count_;
    threads_.erase(self);
    throw;
  }
}

void ServingPool::work(bool is_extra, std::list<std::thread>::iterator self,
                       const RequestBuffer& buffer) {
#ifdef PR_SET_IO_FLUSHER
  // Whether it may, the constructor has asked.
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
#endif
  const int timeout = is_extra ? static_cast<int>(options_.idle.count()) : -1;
  while (true) {
    epoll_event event = {};
    const int count = ::epoll_wait(epoll_.get(), &event, 1, timeout);
    if (count < 0) continue;  // EINTR: all else is a defect of ours that epoll_wait cannot have
    if (count == 0) {
      if (retire(self)) return;
      continue;
    }
    if (event.data.u64 == kStopId) return;
    if (--idle_count_ == 0) note_busy();
    serve(event.data.u64, buffer);
    ++idle_count_;
  }
}

void ServingPool::serve(Id id, const RequestBuffer& buffer) noexcept {
  const std::shared_ptr<Served> served = find(id);
  if (served == nullptr) return;
  ++busy_count_;
  ++served->thread_count;
  serve(id, *served, buffer);
  --served->thread_count;
  --busy_count_;
  arm_parked(id, *served);
}

void ServingPool::serve(Id id, Served& served, const RequestBuffer& buffer) noexcept {
  bool is_armed = false;
  // Before a request is carried out: others may take the next one meanwhile.
  const auto arm_once = [&] {
    if (!is_armed) arm_or_park(id, served);
    is_armed = true;
  };
  const std::function<void()> taken = std::ref(arm_once);
  for (int turn = 0; turn < kTurnRequests; ++turn) {
    const Connection::Served result = served.connection->serve(buffer, taken);
    if (result == Connection::Served::kEnd) {
      remove(id);
      return;
    }
    if (result == Connection::Served::kNothing) {
      taken();
      return;
    }
    ++completed_count_;
  }
}

bool ServingPool::may_grow(const Served& served) const noexcept {
  return served.thread_count + busy_count_ < options_.threads_max;
}

void ServingPool::arm_or_park(Id id, Served& served) const noexcept {
  if (may_grow(served)) {
    // Fails for a connection that was removed meanwhile, which need not be armed.
    static_cast<void>(arm(id, served.connection->descriptor(), EPOLL_CTL_MOD));
    return;
  }
  served.is_parked = true;
  // Whoever left in between did not see it parked.
  if (may_grow(served)) arm_parked(id, served);
}

void ServingPool::arm_parked(Id id, Served& served) const noexcept {
  if (!served.is_parked || !served.is_parked.exchange(false)) return;
  static_cast<void>(arm(id, served.connection->descriptor(), EPOLL_CTL_MOD));
}

void ServingPool::note_busy() noexcept {
  if (!is_supervisor_waiting_) return;
  const std::lock_guard lock(threads_mutex_);
  supervisor_wake_.notify_one();
}

bool ServingPool::retire(std::list<std::thread>::iterator self) {
  const std::lock_guard lock(threads_mutex_);
  // The last one that has nothing to do is there for whoever comes next.
  if (is_stopping_ || idle_count_ <= 1) return false;
  --idle_count_;
  retired_.splice(retired_.end(), threads_, self);
  supervisor_wake_.notify_one();
  return true;
}

void ServingPool::supervise() {
  std::unique_lock lock(threads_mutex_);
  while (!is_stopping_) {
    is_supervisor_waiting_ = true;
    supervisor_wake_.wait(
        lock, [this] { return is_stopping_ || idle_count_ == 0 || !retired_.empty(); });
    is_supervisor_waiting_ = false;
    std::list<std::thread> ended;
    if (!is_stopping_) ended.swap(retired_);
    const std::uint64_t before = completed_count_;
    const std::size_t count = threads_.size();
    if (!ended.empty()) {
      lock.unlock();
      for (std::thread& thread : ended) thread.join();
      lock.lock();
    }
    if (idle_count_ > 0) continue;
    if (stop_wake_.wait_for(lock, options_.stall, [this] { return is_stopping_; })) break;
    // Threads that compute finish many requests in that time; more of them would not help.
    const bool is_stalled = idle_count_ == 0 && completed_count_ - before < count;
    if (!is_stalled) continue;
    lock.unlock();
    try {
      // There is no bound here: connections take no more threads than may_grow gives them.
      start_thread(true);
    } catch (const std::exception&) {
      // The system has no thread or no memory for us now; those that are there go on.
    }
    lock.lock();
  }
}

}  // namespace varve::transport
