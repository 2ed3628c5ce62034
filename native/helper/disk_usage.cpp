// Disk usage, counted as containerd counts it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_set>
#include <utility>

#include "helper/directory_stack.h"
#include "helper/failure.h"
#include "helper/operations.h"

namespace varve {

namespace {

constexpr uint64_t kBlockBytes = 512;
constexpr uint64_t kTickEvery = 1024;

class Count {
 public:
  explicit Count(uint64_t mount_id, const Tick& tick) : mount_id_(mount_id), tick_(tick) {}

  [[nodiscard]] bool is_elsewhere(const struct statx& status) const {
    if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return true;
    return (status.stx_mask & STATX_MNT_ID) != 0 && status.stx_mnt_id != mount_id_;
  }

  void add(const struct statx& status) {
    // Within one mount the device is the same, and only a file with several names can come twice.
    const bool may_repeat = !S_ISDIR(status.stx_mode) && status.stx_nlink > 1;
    if (may_repeat && !seen_.insert(status.stx_ino).second) return;
    usage_.size_bytes += status.stx_blocks * kBlockBytes;
    usage_.inode_count += 1;
    if (++entries_ % kTickEvery == 0) tick_();
  }

  [[nodiscard]] const DiskUsage& usage() const { return usage_; }

 private:
  uint64_t mount_id_;
  const Tick& tick_;
  std::unordered_set<uint64_t> seen_;
  DiskUsage usage_;
  uint64_t entries_ = 0;
};

constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_MNT_ID;

void count_entries(DirectoryStack& stack, Count& count) {
  OpenDirectory& directory = stack.top();
  std::string failed;
  int failure = 0;
  const int result = for_each_entry(directory.fd.get(), [&](const char* name, unsigned char) {
    struct statx status = {};
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    if (::statx(directory.fd.get(), name, flags, kWanted, &status) != 0) {
      if (errno != ENOENT && failure == 0) failure = errno, failed = name;
      return;
    }
    if (count.is_elsewhere(status)) return;
    count.add(status);
    if (S_ISDIR(status.stx_mode)) directory.below.emplace_back(name);
  });
  if (failure != 0) throw Failure(failure, "statx", stack.path_of(failed));
  // A directory removed while it is read has no entries left.
  if (result != 0 && result != ENOENT) throw Failure(result, "getdents64", stack.path_of());
}

// What became a file, a link or a mount point, or vanished, since it was listed is no longer a
// directory of this tree.
bool is_gone(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == EXDEV;
}

}  // namespace

DiskUsage disk_usage(const std::string& path, const Tick& tick) {
  UniqueFd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) throw Failure(errno, "open", path);
  struct statx status = {};
  if (::statx(root.get(), "", AT_EMPTY_PATH, kWanted, &status) != 0) {
    throw Failure(errno, "statx", path);
  }
  Count count(status.stx_mnt_id, tick);
  count.add(status);
  DirectoryStack stack(std::move(root), path);
  count_entries(stack, count);
  for (;;) {
    OpenDirectory& directory = stack.top();
    if (directory.below.empty()) {
      if (stack.at_root()) return count.usage();
      stack.ascend();
      continue;
    }
    const std::string name = std::move(directory.below.back());
    directory.below.pop_back();
    if (const int error = stack.descend(name); error != 0) {
      if (is_gone(error)) continue;
      throw Failure(error, "openat2", stack.path_of(name));
    }
    count_entries(stack, count);
  }
}

}  // namespace varve
