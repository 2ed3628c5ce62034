// Queries about loop devices; attaching them belongs to a worker and is not here.
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

using varve::UniqueFd;

int varve_sys_loop_status_get(const char* device, varve_sys_loop_status* status) {
  const UniqueFd fd(::open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return -errno;
  loop_info64 found = {};
  if (::ioctl(fd.get(), LOOP_GET_STATUS64, &found) != 0) return -errno;
  *status = {};
  status->backing_device = found.lo_device;
  status->backing_inode = found.lo_inode;
  status->offset_bytes = found.lo_offset;
  status->size_limit_bytes = found.lo_sizelimit;
  status->number = found.lo_number;
  status->flags = found.lo_flags;
  static_assert(sizeof status->file_name == LO_NAME_SIZE);
  std::memcpy(status->file_name, found.lo_file_name, LO_NAME_SIZE);
  status->file_name[LO_NAME_SIZE - 1] = '\0';
  return 0;
}

int varve_sys_loop_get_free(void) {
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) return -errno;
  const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
  return number >= 0 ? number : -errno;
}
