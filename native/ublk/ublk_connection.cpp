#include "ublk/ublk_connection.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "transport/transport.h"
#include "ublk/request.h"

namespace varve::ublk {

// By the position in the character device that stands for the request.
class UblkConnection::Mover final : public DataMover {
 public:
  Mover(UblkConnection& connection, std::uint16_t tag) : connection_(connection), tag_(tag) {}

  [[nodiscard]] int take(std::span<std::byte> destination) noexcept override {
    return move(destination.size(), [&](int device, std::size_t done, off_t position) {
      return ::pread(device, destination.data() + done, destination.size() - done, position);
    });
  }

  [[nodiscard]] int give(std::span<const std::byte> source) noexcept override {
    return move(source.size(), [&](int device, std::size_t done, off_t position) {
      return ::pwrite(device, source.data() + done, source.size() - done, position);
    });
  }

 private:
  template <typename Move>
  int move(std::size_t size, const Move& part) noexcept {
    const std::shared_lock lock(connection_.device_mutex_);
    if (!connection_.device_) return -ENODEV;
    for (std::size_t done = 0; done < size;) {
      const auto position = static_cast<off_t>(data_position(tag_) + done);
      const ssize_t length = part(connection_.device_.get(), done, position);
      if (length < 0 && errno == EINTR) continue;
      if (length <= 0) return length < 0 ? -errno : -EIO;
      done += static_cast<std::size_t>(length);
    }
    return 0;
  }

  UblkConnection& connection_;
  std::uint16_t tag_;
};

UblkConnection::UblkConnection(std::shared_ptr<transport::BlockDevice> content, bool is_read_only,
                               unsigned depth)
    : content_(std::move(content)),
      is_read_only_(is_read_only),
      event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      queue_(depth, {.fetched = [this](std::span<const FetchedRequest> requests) {
                       fetched(requests);
                     },
                     .ended = [this] { set_over(); }}) {
  if (!event_) {
    throw transport::TransportError(errno, std::string("eventfd: ") + std::strerror(errno));
  }
}

UblkConnection::~UblkConnection() {
  end();
  // Before it is told: whoever waits for the end may open the content's files again.
  content_.reset();
  end_->set();
}

void UblkConnection::begin(UniqueFd device) {
  {
    const std::unique_lock lock(device_mutex_);
    device_ = std::move(device);
  }
  queue_.begin(device_.get());
}

void UblkConnection::end() noexcept {
  set_over();
  {
    const std::unique_lock lock(device_mutex_);
    device_.reset();
  }
  queue_.end();
}

void UblkConnection::set_over() noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_over_.exchange(true)) static_cast<void>(::eventfd_write(event_.get(), 1));
}

void UblkConnection::fetched(std::span<const FetchedRequest> requests) {
  const std::lock_guard lock(mutex_);
  const bool was_empty = requests_.empty();
  requests_.insert(requests_.end(), requests.begin(), requests.end());
  if (was_empty) static_cast<void>(::eventfd_write(event_.get(), 1));
}

transport::Connection::Served UblkConnection::take(FetchedRequest& request) noexcept {
  const std::lock_guard lock(mutex_);
  if (is_over_) return Served::kEnd;
  if (requests_.empty()) return Served::kNothing;
  request = requests_.front();
  requests_.pop_front();
  if (requests_.empty()) {
    eventfd_t count = 0;
    static_cast<void>(::eventfd_read(event_.get(), &count));
  }
  return Served::kRequest;
}

transport::Connection::Served UblkConnection::serve(const transport::RequestBuffer& buffer,
                                                    const std::function<void()>& taken) noexcept {
  FetchedRequest request;
  if (const Served result = take(request); result != Served::kRequest) return result;
  taken();
  Mover mover(*this, request.tag);
  queue_.answer(request.tag, carry_out(request.descriptor, *content_, is_read_only_,
                                       buffer.payload(), mover));
  return Served::kRequest;
}

}  // namespace varve::ublk
