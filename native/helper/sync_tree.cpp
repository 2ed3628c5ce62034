// Making a tree durable, file by file or by its whole file system.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "helper/directory_stack.h"
#include "helper/failure.h"
#include "helper/operations.h"
#include "syscalls/varve_sys.h"

namespace varve {

namespace {

class TreeSync {
 public:
  explicit TreeSync(const Tick& tick) : tick_(tick) {}

  void sync_files(DirectoryStack& stack) {
    OpenDirectory& directory = stack.top();
    const int fd = directory.fd.get();
    const int result = for_each_entry(fd, [&](const char* name, unsigned char type) {
      if (type == DT_UNKNOWN) type = type_of(fd, name);
      if (type == DT_DIR) directory.below.emplace_back(name);
      if (type == DT_REG) sync_file(fd, name, stack);
    });
    if (result != 0 && result != ENOENT) throw Failure(result, "getdents64", stack.path_of());
  }

  // A directory after its files: when its names are durable, what they name is too.
  void sync_directory(DirectoryStack& stack) {
    if (::fsync(stack.top().fd.get()) != 0) throw Failure(errno, "fsync", stack.path_of());
    count_one();
  }

  [[nodiscard]] uint64_t synced() const { return synced_; }

 private:
  static unsigned char type_of(int fd, const char* name) {
    struct stat status = {};
    if (::fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return DT_UNKNOWN;
    return S_ISDIR(status.st_mode) ? DT_DIR : S_ISREG(status.st_mode) ? DT_REG : DT_UNKNOWN;
  }

  void sync_file(int fd, const char* name, DirectoryStack& stack) {
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    const UniqueFd file(::openat(fd, name, flags));
    if (!file) {
      if (errno == ENOENT || errno == ELOOP) return;
      throw Failure(errno, "openat", stack.path_of(name));
    }
    if (::fsync(file.get()) != 0) throw Failure(errno, "fsync", stack.path_of(name));
    count_one();
  }

  void count_one() {
    synced_ += 1;
    tick_();
  }

  const Tick& tick_;
  uint64_t synced_ = 0;
};

}  // namespace

uint64_t sync_tree(const std::string& path, const Tick& tick) {
  UniqueFd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) throw Failure(errno, "open", path);
  TreeSync sync(tick);
  DirectoryStack stack(std::move(root), path);
  sync.sync_files(stack);
  for (;;) {
    OpenDirectory& directory = stack.top();
    if (directory.below.empty()) {
      sync.sync_directory(stack);
      if (stack.at_root()) return sync.synced();
      stack.ascend();
      continue;
    }
    const std::string name = std::move(directory.below.back());
    directory.below.pop_back();
    if (const int error = stack.descend(name); error == 0) {
      sync.sync_files(stack);
    } else if (error != ENOENT && error != ENOTDIR && error != ELOOP && error != EXDEV) {
      throw Failure(error, "openat2", stack.path_of(name));
    }
  }
}

void sync_file_system(const std::string& path) {
  const int result = varve_sys_syncfs(path.c_str());
  if (result < 0) throw Failure(-result, "syncfs", path);
}

}  // namespace varve
