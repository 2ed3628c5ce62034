// The end of this process, process descriptors, who listens on a socket, and passing descriptors
// between processes.
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

template <typename Call>
auto retry_interrupted(Call call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// That listens there, on a socket of this type.
int peer_process(const sockaddr_un& address, int type) {
  const varve::UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return -errno;
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(fd.get(), plain, sizeof address) != 0) return -errno;
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -errno;
  return peer.pid;
}

}  // namespace

int varve_sys_exit_now(int status) { ::_exit(status); }

int varve_sys_pidfd_open(int pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  return fd >= 0 ? static_cast<int>(fd) : -errno;
}

int varve_sys_pidfd_has_ended(int fd) {
  pollfd process = {fd, POLLIN, 0};
  if (retry_interrupted([&] { return ::poll(&process, 1, 0); }) < 0) return -errno;
  if ((process.revents & POLLNVAL) != 0) return -EBADF;
  return process.revents != 0 ? 1 : 0;
}

int varve_sys_pidfd_signal(int fd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) == 0 ? 0 : -errno;
}

int varve_sys_peer_process(const char* socket_path) {
  sockaddr_un address = {};
  const size_t length = std::strlen(socket_path);
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path, length);
  const int of_stream = peer_process(address, SOCK_STREAM);
  return of_stream == -EPROTOTYPE ? peer_process(address, SOCK_SEQPACKET) : of_stream;
}

int varve_sys_reap(int pid) {
  // Zero and below stand for several children.
  if (pid <= 0) return -EINVAL;
  const pid_t reaped = retry_interrupted([&] { return ::waitpid(pid, nullptr, WNOHANG); });
  if (reaped < 0) return -errno;
  return reaped == pid ? 1 : 0;
}

int varve_sys_send_fd(int socket, int fd) {
  char byte = 0;
  iovec content = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  const ssize_t sent =
      retry_interrupted([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
  return sent == 1 ? 0 : -errno;
}

int varve_sys_receive_fd(int socket) {
  char byte = 0;
  iovec content = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control;
  // Room for one descriptor and not for the padding after it, which would hold a second: what finds
  // no room, the kernel closes.
  message.msg_controllen = CMSG_LEN(sizeof(int));
  const ssize_t received =
      retry_interrupted([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (received < 0) return -errno;
  if (received == 0) return -ENODATA;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return -EBADMSG;
  }
  int number = -1;
  std::memcpy(&number, CMSG_DATA(header), sizeof number);
  varve::UniqueFd fd(number);
  // Whoever sends several means something else than this call does.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return -EBADMSG;
  return fd.release();
}

int varve_sys_close(int fd) { return ::close(fd) == 0 ? 0 : -errno; }
