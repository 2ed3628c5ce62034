#include "transport/fuse_connection.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "transport/transport.h"

namespace varve::transport {

namespace {

// Above the loop devices' and most others; the kernel's table grows with the highest.
constexpr rlim_t kNumberMin = 65'536;
// FUSE_NOTIFY_RESEND; newer than Debian 12's headers.
constexpr int kNotifyResend = 7;

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

FuseConnection::FuseConnection(UniqueFd fuse, std::shared_ptr<BlockDevice> content,
                               const Options& options)
    : fuse_(with_high_number(std::move(fuse))),
      key_(options.key),
      content_(std::move(content)),
      protocol_(*content_, options.is_read_only, options.wants_resend) {
  // Several threads take requests from one descriptor; the one that comes too late must not wait.
  const int flags = ::fcntl(fuse_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fuse_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    const int error = errno;
    throw TransportError(error, std::string("the FUSE descriptor: ") + std::strerror(error));
  }
}

FuseConnection::~FuseConnection() {
  place_.drop();
  fuse_.reset();
  content_.reset();
  end_->set();
}

Connection::Served FuseConnection::serve(const RequestBuffer& buffer,
                                         const std::function<void()>& taken) noexcept {
  std::size_t request_bytes = 0;
  const Served received = receive(buffer, request_bytes);
  if (received != Served::kRequest) return received;
  taken();
  answer(buffer, request_bytes);
  return received;
}

Connection::Served FuseConnection::receive(const RequestBuffer& buffer,
                                           std::size_t& request_bytes) const noexcept {
  const std::span<std::byte> space = buffer.request();
  buffer.begin_reading(key_);
  while (true) {
    const ssize_t length = ::read(fuse_.get(), space.data(), space.size());
    if (length >= 0) {
      request_bytes = static_cast<std::size_t>(length);
      buffer.taken(request_bytes);
      return Served::kRequest;
    }
    // ENOENT: the request was taken back before it was read.
    if (errno == EINTR || errno == ENOENT) continue;
    const bool is_empty = errno == EAGAIN;
    buffer.free();
    return is_empty ? Served::kNothing : Served::kEnd;
  }
}

void FuseConnection::answer(const RequestBuffer& buffer, std::size_t request_bytes) noexcept {
  const std::span<const std::byte> bytes = protocol_.answer(buffer, request_bytes);
  // A read may be carried out again; all else must not be.
  const bool is_small = bytes.data() == buffer.small_reply().data();
  if (is_small) buffer.executed(bytes.size());
  reply(bytes);
  buffer.free();
}

void FuseConnection::reply(std::span<const std::byte> bytes) const noexcept {
  if (bytes.empty()) return;
  // A failure means that nobody waits for the reply any more: the request or the connection is
  // gone.
  while (::write(fuse_.get(), bytes.data(), bytes.size()) < 0 && errno == EINTR) {
  }
}

void FuseConnection::park(UniqueFd record, std::span<const int> others) {
  if (!place_.is_there()) return;
  std::vector<int> descriptors = {record.get(), fuse_.get()};
  descriptors.insert(descriptors.end(), others.begin(), others.end());
  place_.park(descriptors);
  record_ = std::move(record);
}

int FuseConnection::ask_again() const noexcept {
  fuse_out_header notification = {};
  notification.len = sizeof notification;
  notification.error = kNotifyResend;
  return ::write(fuse_.get(), &notification, sizeof notification) < 0 ? -errno : 0;
}

void FuseConnection::answer_left(const RequestBuffer& buffer) noexcept {
  const RequestBuffer::Left left = buffer.left_of(key_);
  if (!left.reply.empty()) {
    reply(left.reply);
    buffer.free();
  } else if (left.request_bytes > 0) {
    buffer.taken(left.request_bytes);
    answer(buffer, left.request_bytes);
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
