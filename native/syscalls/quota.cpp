// Project quota: a directory's project id, and a project's limit on its file system.
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

constexpr uint64_t kQuotaBlockBytes = 1024;

UniqueFd open_directory(const char* path) noexcept {
  return UniqueFd(::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

int quotactl_fd(int fd, int command, uint32_t project_id, void* block) noexcept {
  const long result = ::syscall(SYS_quotactl_fd, fd, static_cast<unsigned>(QCMD(command, PRJQUOTA)),
                                project_id, block);
  return result == 0 ? 0 : -errno;
}

// Whether limits are kept, and not only counted against: ext4 with the feature `quota` counts in any
// case, and takes limits that it does not keep unless it is mounted with prjquota.
int check_enforcement(int fd) noexcept {
  fs_quota_statv state = {};
  state.qs_version = FS_QSTATV_VERSION1;
  const int result = quotactl_fd(fd, Q_XGETQSTATV, 0, &state);
  if (result < 0) return result;
  return (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0 ? 0 : -ESRCH;
}

}  // namespace

int varve_sys_set_project(const char* directory, uint32_t project_id) {
  const UniqueFd fd = open_directory(directory);
  if (!fd) return -errno;
  fsxattr attributes = {};
  if (::ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return -errno;
  attributes.fsx_projid = project_id;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ::ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes) == 0 ? 0 : -errno;
}

int varve_sys_get_project(const char* directory, uint32_t* project_id) {
  const UniqueFd fd = open_directory(directory);
  if (!fd) return -errno;
  fsxattr attributes = {};
  if (::ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return -errno;
  *project_id = attributes.fsx_projid;
  return 0;
}

int varve_sys_set_project_limit(const char* path, uint32_t project_id, uint64_t limit_bytes) {
  const UniqueFd fd = open_directory(path);
  if (!fd) return -errno;
  if (limit_bytes > 0) {
    const int result = check_enforcement(fd.get());
    if (result < 0) return result;
  }
  if_dqblk block = {};
  block.dqb_bhardlimit =
      limit_bytes / kQuotaBlockBytes + (limit_bytes % kQuotaBlockBytes == 0 ? 0 : 1);
  block.dqb_valid = QIF_BLIMITS;
  return quotactl_fd(fd.get(), Q_SETQUOTA, project_id, &block);
}

int varve_sys_get_project_usage(const char* path, uint32_t project_id,
                                varve_sys_project_usage* usage) {
  const UniqueFd fd = open_directory(path);
  if (!fd) return -errno;
  if_dqblk block = {};
  const int result = quotactl_fd(fd.get(), Q_GETQUOTA, project_id, &block);
  if (result < 0) return result;
  *usage = {};
  usage->limit_bytes = block.dqb_bhardlimit * kQuotaBlockBytes;
  usage->used_bytes = block.dqb_curspace;
  usage->used_inodes = block.dqb_curinodes;
  return 0;
}
