// The end of this process, process descriptors, and passing descriptors between processes.
#include <sys/socket.h>
#include <sys/syscall.h>
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

}  // namespace

int varve_sys_exit_now(int status) { ::_exit(status); }

int varve_sys_pidfd_open(int pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  return fd >= 0 ? static_cast<int>(fd) : -errno;
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
