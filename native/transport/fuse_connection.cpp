#include "transport/fuse_connection.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "transport/transport.h"

namespace varve::transport {

namespace {

// Above the loop devices' and most others; the kernel's table grows with the highest.
constexpr rlim_t kNumberMin = 65'536;

// The kernel releases the descriptors of a killed process from the highest number down. Each loop
// device then writes what the kernel holds of it, and would wait for ever for the connection behind
// it unless that has ended before.
UniqueFd with_high_number(UniqueFd fuse) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fuse;
  const auto number = static_cast<int>(std::min(kNumberMin, limit.rlim_cur / 2));
  UniqueFd high(::fcntl(fuse.get(), F_DUPFD_CLOEXEC, number));
  return high ? std::move(high) : std::move(fuse);
}

}  // namespace

void ConnectionEnd::set() noexcept {
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  changed_.notify_all();
}

bool ConnectionEnd::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return has_ended_; });
}

FuseConnection::FuseConnection(UniqueFd fuse, std::shared_ptr<BlockDevice> content,
                               bool is_read_only)
    : fuse_(with_high_number(std::move(fuse))),
      content_(std::move(content)),
      protocol_(*content_, is_read_only) {
  // Several threads take requests from one descriptor; the one that comes too late must not wait.
  const int flags = ::fcntl(fuse_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fuse_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    const int error = errno;
    throw TransportError(error, std::string("the FUSE descriptor: ") + std::strerror(error));
  }
}

FuseConnection::~FuseConnection() {
  fuse_.reset();
  content_.reset();
  end_->set();
}

FuseConnection::Received FuseConnection::receive(const RequestBuffer& buffer,
                                                 std::size_t& request_bytes) const noexcept {
  const std::span<std::byte> space = buffer.request();
  while (true) {
    const ssize_t length = ::read(fuse_.get(), space.data(), space.size());
    if (length >= 0) {
      request_bytes = static_cast<std::size_t>(length);
      return Received::kRequest;
    }
    if (errno == EAGAIN) return Received::kNothing;
    // ENOENT: the request was taken back before it was read.
    if (errno != EINTR && errno != ENOENT) return Received::kEnd;
  }
}

void FuseConnection::answer(const RequestBuffer& buffer, std::size_t request_bytes) noexcept {
  const std::span<const std::byte> reply = protocol_.answer(buffer, request_bytes);
  if (reply.empty()) return;
  // A failure means that nobody waits for the reply any more: the request or the connection is
  // gone.
  while (::write(fuse_.get(), reply.data(), reply.size()) < 0 && errno == EINTR) {
  }
}

int FuseConnection::invalidate_attributes() const noexcept {
  struct {
    fuse_out_header header;
    fuse_notify_inval_inode_out body;
  } notification = {};
  notification.header.len = sizeof notification;
  notification.header.error = FUSE_NOTIFY_INVAL_INODE;
  notification.body.ino = FUSE_ROOT_ID;
  notification.body.off = -1;  // attributes alone
  const ssize_t written = ::write(fuse_.get(), &notification, sizeof notification);
  return written < 0 ? -errno : 0;
}

}  // namespace varve::transport
