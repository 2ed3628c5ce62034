// Recursive deletion that never steps out of the tree it was given: not through a link, not through
// a mount, not through the parent of a directory that was moved. A directory that is moved out of
// the tree while it is being emptied is emptied all the same, so nobody else may work in the tree.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "helper/directory_stack.h"
#include "helper/failure.h"
#include "helper/mount_points.h"
#include "helper/operations.h"

namespace varve {

namespace {

constexpr uint64_t kTickEvery = 1024;
// A directory that still fills up after so many readings belongs to someone who is at work in it.
constexpr unsigned kPassesMax = 16;

// `path` relative to `parent`, refused unless it plainly lies beneath.
std::string relative_path(const std::string& path, const std::string& parent) {
  const std::string prefix = parent == "/" ? parent : parent + "/";
  if (path.empty() || path[0] != '/' || path.compare(0, prefix.size(), prefix) != 0) {
    throw Failure(EINVAL, "request", path, "does not lie beneath " + parent);
  }
  const std::string relative = path.substr(prefix.size());
  for (size_t begin = 0; begin <= relative.size();) {
    const size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string component = relative.substr(begin, end - begin);
    if (component.empty() || component == "." || component == "..") {
      throw Failure(EINVAL, "request", path, "is not a plain path beneath " + parent);
    }
    begin = end + 1;
  }
  return relative;
}

// Lets its owner into a directory. By a descriptor, since a link may take the place of the name.
bool make_accessible(int holder, const std::string& name) {
  const UniqueFd fd(
      ::openat(holder, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const bool is_done =
      fd && ::chmod(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), 0700) == 0;
  if (!is_done) errno = EACCES;
  return is_done;
}

class Removal {
 public:
  explicit Removal(const Tick& tick) : tick_(tick) {}

  void count_one() {
    if (++removed_ % kTickEvery == 0) tick_();
  }

  // Deletes all entries that are no directories and remembers those that are.
  void empty(DirectoryStack& stack) {
    OpenDirectory& directory = stack.top();
    directory.pass_count += 1;
    const int fd = directory.fd.get();
    const int result = for_each_entry(fd, [&](const char* name, unsigned char type) {
      if (type == DT_DIR || !remove_file(fd, name, stack)) directory.below.emplace_back(name);
    });
    if (result != 0 && result != ENOENT) throw Failure(result, "getdents64", stack.path_of());
  }

  void below(UniqueFd root, const std::string& path) {
    DirectoryStack stack(std::move(root), path);
    empty(stack);
    for (;;) {
      OpenDirectory& directory = stack.top();
      if (!directory.below.empty()) {
        const std::string name = std::move(directory.below.back());
        directory.below.pop_back();
        enter(stack, name);
      } else if (stack.at_root()) {
        return;
      } else {
        leave(stack);
      }
    }
  }

  [[nodiscard]] uint64_t removed() const { return removed_; }

 private:
  // False if it turns out to be a directory.
  bool remove_file(int fd, const char* name, DirectoryStack& stack) {
    if (::unlinkat(fd, name, 0) == 0) {
      count_one();
      return true;
    }
    if (errno == ENOENT) return true;
    if (errno == EISDIR) return false;
    throw Failure(errno, "unlinkat", stack.path_of(name));
  }

  void enter(DirectoryStack& stack, const std::string& name) {
    int error = stack.descend(name);
    if (error == EACCES && make_accessible(stack.top().fd.get(), name)) error = stack.descend(name);
    if (error == 0) return empty(stack);
    if (error == ENOENT) return;
    if (error == EXDEV) {
      throw Failure(EBUSY, "openat2", stack.path_of(name), "is a mount point; unmount it first");
    }
    if (error == ENOTDIR || error == ELOOP) {
      if (remove_file(stack.top().fd.get(), name.c_str(), stack)) return;
    }
    throw Failure(error, "openat2", stack.path_of(name));
  }

  void leave(DirectoryStack& stack) {
    const std::string name = stack.top().name;
    const std::string path = stack.path_of();
    const unsigned pass_count = stack.top().pass_count;
    stack.ascend();
    if (::unlinkat(stack.top().fd.get(), name.c_str(), AT_REMOVEDIR) == 0) return count_one();
    if (errno == ENOENT) return;
    const int error = errno;
    if (error != ENOTEMPTY && error != EEXIST) throw Failure(error, "unlinkat", path);
    if (pass_count >= kPassesMax) {
      throw Failure(error, "unlinkat", path, "entries keep appearing in it; someone is using it");
    }
    if (const int again = stack.descend(name); again != 0) {
      if (again == ENOENT) return;
      throw Failure(again, "openat2", path);
    }
    stack.top().pass_count = pass_count;
    empty(stack);
  }

  const Tick& tick_;
  uint64_t removed_ = 0;
};

[[noreturn]] void refuse_mount(const std::string& path) {
  throw Failure(EBUSY, "mount-check", path, "is a mount point; unmount it first");
}

// The root directory of the tree, or an empty descriptor if there is none (any more).
UniqueFd open_tree(int holder, const std::string& name, const std::string& path) {
  UniqueFd tree = open_beneath(holder, name);
  if (!tree && errno == EACCES && make_accessible(holder, name)) tree = open_beneath(holder, name);
  if (tree || errno == ENOENT) return tree;
  if (errno == EXDEV) refuse_mount(path);
  throw Failure(errno, "openat2", path);
}

// The directory that holds the last component of `relative`.
UniqueFd open_holder(const std::string& parent, const std::string& relative) {
  UniqueFd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return fd;
    throw Failure(errno, "open", parent);
  }
  const size_t slash = relative.rfind('/');
  if (slash == std::string::npos) return fd;
  const std::string middle = relative.substr(0, slash);
  UniqueFd holder = open_beneath(fd.get(), middle);
  if (!holder && errno != ENOENT) throw Failure(errno, "openat2", parent + "/" + middle);
  return holder;
}

}  // namespace

uint64_t remove_tree(const std::string& path, const std::string& parent, const Tick& tick) {
  const std::string relative = relative_path(path, parent);
  const UniqueFd holder = open_holder(parent, relative);
  if (!holder) return 0;
  const std::string name = relative.substr(relative.rfind('/') + 1);

  struct statx status = {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (::statx(holder.get(), name.c_str(), flags, STATX_TYPE, &status) != 0) {
    if (errno == ENOENT) return 0;
    throw Failure(errno, "statx", path);
  }
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) refuse_mount(path);
  if (!S_ISDIR(status.stx_mode)) {
    if (::unlinkat(holder.get(), name.c_str(), 0) == 0) return 1;
    if (errno == ENOENT) return 0;
    throw Failure(errno, "unlinkat", path);
  }

  Removal removal(tick);
  for (unsigned pass = 0;; ++pass) {
    UniqueFd tree = open_tree(holder.get(), name, path);
    if (!tree) return removal.removed();
    if (const auto mount_point = mount_point_below(tree.get())) refuse_mount(*mount_point);
    removal.below(std::move(tree), path);
    if (::unlinkat(holder.get(), name.c_str(), AT_REMOVEDIR) == 0) {
      removal.count_one();
      return removal.removed();
    }
    if (errno == ENOENT) return removal.removed();
    if ((errno != ENOTEMPTY && errno != EEXIST) || pass >= kPassesMax) {
      throw Failure(errno, "unlinkat", path);
    }
  }
}

}  // namespace varve
