#include "tcmu/tcmu_connection.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "transport/transport.h"

namespace varve::tcmu {

namespace {

[[noreturn]] void fail(const char* step) {
  const int error = errno;
  throw transport::TransportError(error, std::string(step) + ": " + std::strerror(error));
}

Ring ring_in(const UioDevice& device) {
  try {
    return Ring(device.memory());
  } catch (const RingError& error) {
    throw transport::TransportError(EPROTO, error.what());
  }
}

}  // namespace

TcmuConnection::TcmuConnection(std::unique_ptr<UioDevice> device,
                               std::shared_ptr<transport::BlockDevice> content,
                               scsi::Identity identity, Ended ended)
    : device_(std::move(device)),
      disk_(std::make_unique<scsi::Disk>(std::move(content), std::move(identity))),
      ended_(std::move(ended)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      more_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ring_(ring_in(*device_)) {
  if (!epoll_) fail("epoll_create1");
  if (!more_event_) fail("eventfd");
  for (const int descriptor : {device_->descriptor(), more_event_.get()}) {
    epoll_event event = {};
    event.events = EPOLLIN;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
  }
}

TcmuConnection::~TcmuConnection() {
  // The content first: whoever waits for the end may open its files again.
  device_.reset();
  disk_.reset();
  end_->set();
}

transport::Connection::Served TcmuConnection::serve(const transport::RequestBuffer& buffer,
                                                    const std::function<void()>& taken) noexcept {
  RingCommand command;
  std::uint64_t number = 0;
  try {
    if (const Served result = take(command, number); result != Served::kRequest) return result;
  } catch (const std::bad_alloc&) {
    // It stays in the ring, and the descriptor readable.
    return Served::kNothing;
  }
  taken();
  const scsi::Outcome outcome =
      is_aborted_         ? scsi::Outcome::failed(scsi::kManualInterventionRequired)
      : !command.is_sound ? scsi::Outcome::failed(scsi::kInternalFailure)
                          : disk_->execute(command.command(), command.data, buffer.payload());
  complete(number, outcome);
  return Served::kRequest;
}

void TcmuConnection::complete(std::uint64_t number, const scsi::Outcome& outcome) noexcept {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(carried_.begin(), carried_.end(), [&](const Carried& one) {
      return one.number == number;
    });
    // It was aborted meanwhile.
    if (found == carried_.end()) return;
    ring_.complete(found->id, outcome);
    carried_.erase(found);
  }
  device_->tell();
}

// What still works on an aborted read may put data where the kernel lays those of the next command;
// but that fails, too. A write has taken its data before it can hang.
void TcmuConnection::abort() noexcept {
  is_aborted_ = true;
  {
    const std::lock_guard lock(mutex_);
    for (const Carried& one : carried_) {
      ring_.complete(one.id, scsi::Outcome::failed(scsi::kManualInterventionRequired));
    }
    carried_.clear();
  }
  device_->tell();
}

transport::Connection::Served TcmuConnection::take(RingCommand& command, std::uint64_t& number) {
  const std::lock_guard lock(mutex_);
  carried_.reserve(carried_.size() + 1);
  while (true) {
    switch (ring_.take(command)) {
      case Ring::Taken::kCommand:
        number = ++taken_count_;
        carried_.push_back({.number = number, .id = command.id});
        return Served::kRequest;
      case Ring::Taken::kBroken:
        tell_end("its ring makes no sense, so nothing can be taken from it");
        return Served::kEnd;
      case Ring::Taken::kNothing: break;
    }
    if (is_more_told_) {
      eventfd_t count = 0;
      static_cast<void>(::eventfd_read(more_event_.get(), &count));
      is_more_told_ = false;
    }
    if (device_->listen() == UioDevice::Heard::kEnd) {
      tell_end("the kernel has taken the device away");
      return Served::kEnd;
    }
    if (!ring_.has_more()) return Served::kNothing;
    // They came in between, and the kernel may not tell of them again.
    static_cast<void>(::eventfd_write(more_event_.get(), 1));
    is_more_told_ = true;
  }
}

void TcmuConnection::tell_end(const std::string& reason) noexcept {
  if (ended_ && !has_told_end_.exchange(true)) ended_(reason);
}

bool TcmuConnection::is_idle() const noexcept {
  const std::lock_guard lock(mutex_);
  return ring_.is_idle();
}

}  // namespace varve::tcmu
