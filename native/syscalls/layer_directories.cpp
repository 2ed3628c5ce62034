// The directories of snapshots, made by the batch because Prepare waits for them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

// A snapshot's id in decimal, or the path of its `fs`.
class LayerPath {
 public:
  explicit LayerPath(uint64_t id, const char* rest = "") noexcept {
    char* end = std::to_chars(text_, text_ + kDigitsMax, id).ptr;
    while ((*end++ = *rest++) != '\0') {
    }
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_; }

 private:
  static constexpr size_t kDigitsMax = 20;
  char text_[kDigitsMax + sizeof "/fs"];
};

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

// Gives `fs` to the owner of the parent's, unless it has that owner already.
int copy_owner(int root, uint64_t parent_id, int layer) noexcept {
  struct stat parent = {};
  if (::fstatat(root, LayerPath(parent_id, "/fs").c_str(), &parent, AT_SYMLINK_NOFOLLOW) != 0) {
    return -errno;
  }
  if (parent.st_uid == ::geteuid() && parent.st_gid == ::getegid()) return 0;
  return ::fchownat(layer, "fs", parent.st_uid, parent.st_gid, AT_SYMLINK_NOFOLLOW) == 0 ? 0
                                                                                         : -errno;
}

int fill(int root, int layer, const varve_sys_layer& wanted) noexcept {
  if (const int result = make_directory(layer, "fs", 0755); result < 0) return result;
  if (wanted.parent_id != 0) {
    if (const int result = copy_owner(root, wanted.parent_id, layer); result < 0) return result;
  }
  if ((wanted.flags & VARVE_SYS_LAYER_WITH_WORK) == 0) return 0;
  return make_directory(layer, "work", 0711);
}

int make_layer(int root, const varve_sys_layer& wanted) noexcept {
  if (wanted.id == 0 || (wanted.flags & ~VARVE_SYS_LAYER_WITH_WORK) != 0) return -EINVAL;
  const LayerPath path(wanted.id);
  if (const int result = make_directory(root, path.c_str(), 0700); result < 0) return result;
  int result = 0;
  {
    const UniqueFd layer(
        ::openat(root, path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    result = layer ? fill(root, layer.get(), wanted) : -errno;
    if (result < 0 && layer) {
      ::unlinkat(layer.get(), "work", AT_REMOVEDIR);
      ::unlinkat(layer.get(), "fs", AT_REMOVEDIR);
    }
  }
  if (result < 0) ::unlinkat(root, path.c_str(), AT_REMOVEDIR);
  return result;
}

}  // namespace

int varve_sys_make_layers(const char* snapshots_dir, varve_sys_layer* layers, uint32_t count) {
  const UniqueFd root(::open(snapshots_dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return -errno;
  for (uint32_t index = 0; index < count; ++index) {
    layers[index].result = make_layer(root.get(), layers[index]);
  }
  return 0;
}
