// Facts about one path, and making paths durable.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

// O_NONBLOCK so that a fifo or device found where a file was expected cannot hang the caller.
UniqueFd open_for_sync(const char* path) noexcept {
  return UniqueFd(::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

}  // namespace

int varve_sys_abi_version(void) { return VARVE_SYS_ABI_VERSION; }

int varve_sys_statx(const char* path, varve_sys_file_status* status) {
  struct statx found = {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT;
  if (::statx(AT_FDCWD, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, &found) != 0) return -errno;
  *status = {};
  status->device = makedev(found.stx_dev_major, found.stx_dev_minor);
  status->inode = found.stx_ino;
  status->mount_id = (found.stx_mask & STATX_MNT_ID) != 0 ? found.stx_mnt_id : 0;
  status->size_bytes = found.stx_size;
  status->blocks = found.stx_blocks;
  status->mtime_seconds = found.stx_mtime.tv_sec;
  status->mtime_nanoseconds = found.stx_mtime.tv_nsec;
  status->mode = found.stx_mode;
  status->uid = found.stx_uid;
  status->gid = found.stx_gid;
  status->link_count = found.stx_nlink;
  status->is_mount_root = (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ? 1 : 0;
  return 0;
}

int varve_sys_syncfs(const char* path) {
  const UniqueFd fd = open_for_sync(path);
  if (!fd) return -errno;
  return ::syncfs(fd.get()) == 0 ? 0 : -errno;
}

int varve_sys_fsync(const char* path) {
  const UniqueFd fd = open_for_sync(path);
  if (!fd) return -errno;
  return ::fsync(fd.get()) == 0 ? 0 : -errno;
}

int varve_sys_preallocate(const char* path, uint64_t size_bytes) {
  if (size_bytes == 0 || size_bytes > std::numeric_limits<int64_t>::max()) return -EINVAL;
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  bool created = false;
  UniqueFd fd(::open(path, flags));
  if (!fd && errno == ENOENT) {
    fd.reset(::open(path, flags | O_CREAT | O_EXCL, 0600));
    created = static_cast<bool>(fd);
  }
  if (!fd) return -errno;
  struct stat before = {};
  if (::fstat(fd.get(), &before) != 0) return -errno;
  if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(size_bytes)) == 0) return 0;
  const int error = errno;
  // A partial allocation would keep the last free blocks from whoever needs them now.
  if (created) {
    ::unlink(path);
  } else if (::ftruncate(fd.get(), before.st_size) != 0) {
    return -error;
  }
  return -error;
}

int varve_sys_keep_room(const char* path, uint64_t size_bytes) {
  if (size_bytes == 0 || size_bytes > std::numeric_limits<int64_t>::max()) return -EINVAL;
  const UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return -errno;
  const auto length = static_cast<off_t>(size_bytes);
  return ::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, length) == 0 ? 0 : -errno;
}
