#include "tcmu/netlink_socket.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/transport.h"

namespace varve::tcmu {

namespace {

constexpr std::size_t kDatagramBytesMax = 64 << 10;
// Room for a message of each device that there can be; one that is lost would never be answered.
constexpr int kReceiveBytes = 4 << 20;
constexpr std::chrono::milliseconds kAnswerPatience{5'000};

[[noreturn]] void fail(const std::string& step, int error) {
  throw transport::TransportError(error, "messages of TCMU: " + step + ": " + std::strerror(error));
}

}  // namespace

NetlinkSocket::NetlinkSocket()
    : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC)) {
  if (!socket_) fail("socket", errno);
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("bind", errno);
  }
  const int bytes = kReceiveBytes;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  request(family_request(sequence_), sequence_, "the kernel has no such family");
  if (!family_) fail("the kernel's family is not as expected", EPROTO);
  const std::uint32_t group = family_->group;
  if (::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
    fail("listening", errno);
  }
  ++sequence_;
  request(features_request(*family_, sequence_), sequence_,
          "the kernel refuses to wait for answers");
}

int NetlinkSocket::send(const Bytes& message) const noexcept {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  while (::sendto(socket_.get(), message.data(), message.size(), 0,
                  reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

std::optional<Bytes> NetlinkSocket::read(int& error) const {
  Bytes bytes(kDatagramBytesMax);
  sockaddr_nl sender = {};
  socklen_t sender_length = sizeof sender;
  const ssize_t length = ::recvfrom(socket_.get(), bytes.data(), bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&sender), &sender_length);
  error = length < 0 ? errno : 0;
  // Other processes may send, too.
  if (length < 0 || sender_length != sizeof sender || sender.nl_pid != 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(length));
  return bytes;
}

void NetlinkSocket::request(const Bytes& message, std::uint32_t sequence, const char* step) {
  if (const int error = send(message); error != 0) fail(step, -error);
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (true) {
    int error = 0;
    if (const auto bytes = read(error)) {
      const Datagram datagram = parse_datagram(*bytes, std::nullopt);
      if (datagram.family) family_ = datagram.family;
      for (const auto& acknowledgement : datagram.acknowledgements) {
        if (acknowledgement.sequence != sequence) continue;
        if (acknowledgement.error != 0) fail(step, -acknowledgement.error);
        return;
      }
      continue;
    }
    if (error != 0 && error != EAGAIN && error != EINTR) fail(step, error);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) fail(step, ETIMEDOUT);
    pollfd waiting = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
    ::poll(&waiting, 1, static_cast<int>(left.count()));
  }
}

NetlinkSocket::Received NetlinkSocket::receive() {
  Received received;
  int error = 0;
  const auto bytes = read(error);
  received.has_missed = error == ENOBUFS;
  received.is_empty = error != 0 && error != ENOBUFS && error != EINTR;
  if (bytes) received.devices = parse_datagram(*bytes, family_->id).devices;
  return received;
}

int NetlinkSocket::answer(const DeviceMessage& message, std::int32_t status) {
  if (!message.device_id) return 0;
  return send(answer_to(*family_, message, status, ++sequence_));
}

}  // namespace varve::tcmu
