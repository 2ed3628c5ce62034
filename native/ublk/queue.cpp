#include "ublk/queue.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "transport/transport.h"

namespace varve::ublk {

namespace {

// Locked memory holds all of it, and it needs little.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr std::uint64_t kWakeMark = UINT64_MAX;

[[noreturn]] void fail(const std::string& step, int error) {
  throw transport::TransportError(error, "the queue of a ublk device: " + step + ": " +
                                             std::strerror(error));
}

std::size_t descriptors_bytes(unsigned depth) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (depth * sizeof(IoDescriptor) + page - 1) / page * page;
}

// The kernel looks for partitions on a device whose queue belongs to a thread that could mount it;
// what an image holds is not to be parsed by it before anybody asks.
void drop_admin_capability() noexcept {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets = {};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return;
  sets[0].effective &= ~(1U << CAP_SYS_ADMIN);
  static_cast<void>(::syscall(SYS_capset, &header, sets.data()));
}

}  // namespace

Queue::Queue(unsigned depth, Listener listener)
    : depth_(depth), listener_(std::move(listener)), wake_(::eventfd(0, EFD_CLOEXEC)) {
  if (!wake_) fail("eventfd", errno);
  fetched_.reserve(depth_);
  sending_.reserve(depth_);
  answers_.reserve(depth_);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = ::pthread_create(&thread_, &attributes, &Queue::run, this);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) fail("a thread", error);
  try {
    await_stage(Stage::kReady, "io_uring_setup");
  } catch (...) {
    end();
    throw;
  }
}

Queue::~Queue() { end(); }

void Queue::begin(int device) {
  device_.reset(::fcntl(device, F_DUPFD_CLOEXEC, 0));
  if (!device_) fail("dup", errno);
  {
    const std::lock_guard lock(mutex_);
    may_begin_ = true;
    changed_.notify_all();
  }
  await_stage(Stage::kBegun, "fetching requests");
}

void Queue::answer(std::uint16_t tag, std::int32_t result) noexcept {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = answers_.empty();
    answers_.push_back({tag, result});
  }
  if (is_first) static_cast<void>(::eventfd_write(wake_.get(), 1));
}

void Queue::end() noexcept {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
  }
  static_cast<void>(::eventfd_write(wake_.get(), 1));
  const std::lock_guard lock(thread_mutex_);
  if (!std::exchange(is_joined_, true)) ::pthread_join(thread_, nullptr);
}

void Queue::set_stage(Stage stage, int error) noexcept {
  const std::lock_guard lock(mutex_);
  stage_ = stage;
  error_ = error;
  changed_.notify_all();
}

void Queue::await_stage(Stage stage, const char* step) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stage_ == stage || stage_ == Stage::kFailed; });
  if (stage_ == Stage::kFailed) fail(step, error_);
}

void* Queue::run(void* self) {
  static_cast<Queue*>(self)->run();
  return nullptr;
}

void Queue::run() {
  drop_admin_capability();
#ifdef PR_SET_IO_FLUSHER
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
#endif
  if (const int error = open_ring(); error != 0) {
    set_stage(Stage::kFailed, -error);
    return;
  }
  set_stage(Stage::kReady);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return may_begin_ || is_ending_; });
    if (is_ending_) return;
  }
  const int error = fetch_all();
  if (error == 0) {
    set_stage(Stage::kBegun);
    serve();
  }
  // The end of a thread does not give its commands back to the kernel; that of the ring does.
  ring_.close();
  if (descriptors_ != nullptr) {
    ::munmap(const_cast<IoDescriptor*>(descriptors_), descriptors_bytes(depth_));
  }
  device_.reset();
  if (error != 0) set_stage(Stage::kFailed, -error);
}

// Made by the thread that submits, so that the kernel need not interrupt it for what it finishes.
int Queue::open_ring() noexcept {
  return ring_.open(2 * depth_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

// All in one call, and only then the memory: a thread that is killed in between leaves a device that
// its successor can still fetch from.
int Queue::fetch_all() noexcept {
  static_cast<void>(ring_.keep_at_hand(device_.get()));
  for (unsigned tag = 0; tag < depth_; ++tag) {
    IoCommand command;
    command.tag = static_cast<std::uint16_t>(tag);
    ring_.command(device_.get(), kFetch, command, tag);
  }
  watch_answers();
  int count = -EINTR;
  while (count == -EINTR) count = ::io_uring_submit(ring_.get());
  if (count < 0) return count;
  if (static_cast<unsigned>(count) != depth_ + 1) return -EAGAIN;
  io_uring_cqe* done = nullptr;
  if (::io_uring_peek_cqe(ring_.get(), &done) == 0 && done->res < 0) return done->res;
  void* memory = ::mmap(nullptr, descriptors_bytes(depth_), PROT_READ, MAP_SHARED | MAP_POPULATE,
                        device_.get(), 0);
  if (memory == MAP_FAILED) return -errno;
  descriptors_ = static_cast<const IoDescriptor*>(memory);
  return 0;
}

void Queue::watch_answers() noexcept {
  io_uring_sqe* entry = ring_.next();
  entry->opcode = IORING_OP_POLL_ADD;
  entry->fd = wake_.get();
  entry->poll32_events = POLLIN;
  entry->len = IORING_POLL_ADD_MULTI;
  entry->user_data = kWakeMark;
}

void Queue::serve() noexcept {
  while (true) {
    static_cast<void>(::io_uring_submit_and_wait(ring_.get(), 1));
    if (collect() && !std::exchange(has_told_end_, true)) listener_.ended();
    {
      const std::lock_guard lock(mutex_);
      if (is_ending_) return;
      sending_.swap(answers_);
    }
    send_answers();
  }
}

bool Queue::collect() noexcept {
  bool has_ended = false;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* done = nullptr;
  io_uring_for_each_cqe(ring_.get(), head, done) {
    ++count;
    if (done->user_data == kWakeMark) {
      if ((done->flags & IORING_CQE_F_MORE) == 0) watch_answers();
    } else if (done->res == 0) {
      FetchedRequest request{.tag = static_cast<std::uint16_t>(done->user_data), .descriptor = {}};
      std::memcpy(&request.descriptor, descriptors_ + request.tag, sizeof request.descriptor);
      fetched_.push_back(request);
    } else {
      has_ended = true;
    }
  }
  ::io_uring_cq_advance(ring_.get(), count);
  if (!fetched_.empty()) listener_.fetched(fetched_);
  fetched_.clear();
  return has_ended;
}

void Queue::send_answers() noexcept {
  for (const Answer& answer : sending_) {
    IoCommand command;
    command.tag = answer.tag;
    command.result = answer.result;
    ring_.command(device_.get(), kCommitAndFetch, command, answer.tag);
  }
  sending_.clear();
}

}  // namespace varve::ublk
