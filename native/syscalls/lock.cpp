// The lock that keeps a second server off a root directory. It belongs to the open file, so it ends
// with the process however that ends, and a child that does not inherit the descriptor never holds it.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

int varve_sys_lock_file(const char* path) {
  varve::UniqueFd fd(::open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return -errno;
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return -errno;
  char text[32];
  const int length = std::snprintf(text, sizeof text, "%d\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0) return -errno;
  const ssize_t written = ::pwrite(fd.get(), text, static_cast<size_t>(length), 0);
  // A full disk must not keep the service from starting: the lock holds without the number.
  if (written < 0 && errno != ENOSPC && errno != EDQUOT) return -errno;
  return fd.release();
}
