// The service manager's notification protocol: one datagram of lines to a unix socket.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

int varve_sys_notify(const char* socket_path, const char* state) {
  sockaddr_un address = {};
  const size_t length = std::strlen(socket_path);
  if (length < 2 || (socket_path[0] != '/' && socket_path[0] != '@')) return -EINVAL;
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path, length);
  if (socket_path[0] == '@') address.sun_path[0] = '\0';
  const varve::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return -errno;
  // An abstract name is as long as the address says, so no byte after it may be counted.
  const auto address_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  const ssize_t sent =
      ::sendto(fd.get(), state, std::strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), address_bytes);
  return sent >= 0 ? 0 : -errno;
}
