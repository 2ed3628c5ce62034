// The directories of one snapshot, made in a single call because Prepare waits for them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

constexpr size_t kIdDigitsMax = 20;

bool is_decimal(const char* id) noexcept {
  const size_t length = ::strnlen(id, kIdDigitsMax + 1);
  return length > 0 && length <= kIdDigitsMax && ::strspn(id, "0123456789") == length;
}

// The explicit chmod undoes what umask or a default ACL took away.
int make_directory(int parent, const char* name, mode_t mode) noexcept {
  if (::mkdirat(parent, name, mode) != 0) return -errno;
  if (::fchmodat(parent, name, mode, 0) != 0) {
    const int error = errno;
    ::unlinkat(parent, name, AT_REMOVEDIR);
    return -error;
  }
  return 0;
}

int fill(int layer, uint32_t flags, uint32_t uid, uint32_t gid) noexcept {
  if (const int result = make_directory(layer, "fs", 0755); result < 0) return result;
  if (uid != VARVE_SYS_OWNER_UNCHANGED || gid != VARVE_SYS_OWNER_UNCHANGED) {
    if (::fchownat(layer, "fs", uid, gid, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
  }
  if ((flags & VARVE_SYS_LAYER_WITH_WORK) == 0) return 0;
  return make_directory(layer, "work", 0711);
}

}  // namespace

int varve_sys_make_layer_dirs(const char* snapshots_dir, const char* id, uint32_t flags,
                              uint32_t uid, uint32_t gid) {
  if (!is_decimal(id) || (flags & ~VARVE_SYS_LAYER_WITH_WORK) != 0) return -EINVAL;
  const UniqueFd root(::open(snapshots_dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return -errno;
  if (const int result = make_directory(root.get(), id, 0700); result < 0) return result;
  int result = 0;
  {
    const UniqueFd layer(::openat(root.get(), id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    result = layer ? fill(layer.get(), flags, uid, gid) : -errno;
    if (result < 0 && layer) {
      ::unlinkat(layer.get(), "work", AT_REMOVEDIR);
      ::unlinkat(layer.get(), "fs", AT_REMOVEDIR);
    }
  }
  if (result < 0) ::unlinkat(root.get(), id, AT_REMOVEDIR);
  return result;
}
