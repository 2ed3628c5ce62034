// Whether a file system can carry overlay upper directories: tried, because neither its name nor its
// features tell (an xfs made with ftype=0, a tmpfs without xattrs, a container's own overlay root).
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

int has_entry_type(int directory) noexcept {
  if (::mkdirat(directory, "typed", 0700) != 0) return -errno;
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return -errno;
  DIR* stream = ::fdopendir(copy);
  if (stream == nullptr) {
    ::close(copy);
    return -ENOMEM;
  }
  int result = -EOPNOTSUPP;
  while (const dirent* entry = ::readdir(stream)) {
    if (std::strcmp(entry->d_name, "typed") == 0 && entry->d_type == DT_DIR) result = 0;
  }
  ::closedir(stream);
  return result;
}

int has_trusted_xattr(int directory) noexcept {
  const UniqueFd file(::openat(directory, "attributes", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!file) return -errno;
  const char* name = "trusted.overlay.varve-probe";
  if (::fsetxattr(file.get(), name, "y", 1, 0) != 0) return -errno;
  char value = 0;
  const ssize_t length = ::fgetxattr(file.get(), name, &value, 1);
  if (length < 0) return -errno;
  return length == 1 && value == 'y' ? 0 : -EIO;
}

bool is_whiteout(int directory, const char* name) noexcept {
  struct stat status = {};
  return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

// Overlay deletes by the rename where the file system has it, else by making the device node.
int has_whiteout(int directory) noexcept {
  const UniqueFd file(::openat(directory, "deleted", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!file) return -errno;
  if (::renameat2(directory, "deleted", directory, "moved", RENAME_WHITEOUT) == 0) {
    return is_whiteout(directory, "deleted") ? 0 : -EIO;
  }
  if (::mknodat(directory, "whiteout", S_IFCHR, makedev(0, 0)) != 0) return -errno;
  return is_whiteout(directory, "whiteout") ? 0 : -EIO;
}

void remove_scratch(int parent, int scratch, const char* name) noexcept {
  for (const char* file : {"attributes", "deleted", "moved", "whiteout"}) {
    ::unlinkat(scratch, file, 0);
  }
  ::unlinkat(scratch, "typed", AT_REMOVEDIR);
  ::unlinkat(parent, name, AT_REMOVEDIR);
}

}  // namespace

int varve_sys_probe_overlay_upper(const char* directory, uint32_t* failed_steps) {
  *failed_steps = 0;
  int first_error = 0;
  const auto record = [&](uint32_t step, int result) {
    if (result >= 0) return;
    *failed_steps |= step;
    if (first_error == 0) first_error = result;
  };
  const UniqueFd parent(::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) {
    record(VARVE_SYS_PROBE_SCRATCH, -errno);
    return first_error;
  }
  struct statfs file_system = {};
  if (::fstatfs(parent.get(), &file_system) == 0 &&
      file_system.f_type == static_cast<decltype(file_system.f_type)>(OVERLAYFS_SUPER_MAGIC)) {
    record(VARVE_SYS_PROBE_ON_OVERLAY, -EINVAL);
  }
  char name[64];
  std::snprintf(name, sizeof name, ".varve-probe-%d", ::getpid());
  if (::mkdirat(parent.get(), name, 0700) != 0 && errno != EEXIST) {
    record(VARVE_SYS_PROBE_SCRATCH, -errno);
    return first_error;
  }
  const UniqueFd scratch(
      ::openat(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!scratch) {
    record(VARVE_SYS_PROBE_SCRATCH, -errno);
    ::unlinkat(parent.get(), name, AT_REMOVEDIR);
    return first_error;
  }
  record(VARVE_SYS_PROBE_ENTRY_TYPE, has_entry_type(scratch.get()));
  record(VARVE_SYS_PROBE_TRUSTED_XATTR, has_trusted_xattr(scratch.get()));
  record(VARVE_SYS_PROBE_WHITEOUT, has_whiteout(scratch.get()));
  remove_scratch(parent.get(), scratch.get(), name);
  return first_error;
}
