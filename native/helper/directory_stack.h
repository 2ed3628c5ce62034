// Walking down and up a directory tree without recursion and without paths.
//
// Invariants: every step down opens one name beneath the current directory, never through a symbolic
// link and never onto another mount. At most a fixed number of directories are open at once; an
// ancestor that was closed is reopened by `..` and accepted only if it is the same directory, so a
// tree that is moved during the walk ends the walk instead of leading it elsewhere.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"

namespace varve {

struct OpenDirectory {
  UniqueFd fd;
  dev_t device = 0;
  ino_t inode = 0;
  std::string name;                // within its parent; the whole path for the root
  std::vector<std::string> below;  // subdirectories that are still to be visited
  unsigned pass_count = 0;         // how often its entries were read
};

class DirectoryStack {
 public:
  // Takes over `root`, an open directory; `path` is only used in messages.
  DirectoryStack(UniqueFd root, std::string path);

  // Steps down; returns 0 or the errno of the refusal (EXDEV: a mount point, ELOOP: a link).
  int descend(const std::string& name);
  // Steps up; throws ESTALE if the parent is not where it was.
  void ascend();

  [[nodiscard]] OpenDirectory& top() { return frames_.back(); }
  [[nodiscard]] bool at_root() const { return frames_.size() == 1; }
  // The path of `name` in the current directory, for messages.
  [[nodiscard]] std::string path_of(const std::string& name = {}) const;

 private:
  void limit_open_directories();

  std::vector<OpenDirectory> frames_;
};

// Opens a subdirectory by one name or a relative path, strictly beneath `directory`. Returns an
// empty descriptor with errno set on failure.
UniqueFd open_beneath(int directory, const std::string& name);

// Calls `visit(name, d_type)` for each entry of the directory from its beginning, `.` and `..` left
// out. Returns 0 or an errno.
int for_each_entry(int directory,
                   const std::function<void(const char* name, unsigned char type)>& visit);

}  // namespace varve
