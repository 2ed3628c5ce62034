#include "image/result_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "syscalls/unique_fd.h"

namespace varve::image {

int write_result_file(const std::string& path, const std::optional<std::string>& failure) {
  if (path.empty()) return 0;
  std::string text = failure ? "failed:" + *failure : "success";
  // One line, whatever is in the names of files.
  std::replace_if(text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  // Opening a pipe must not wait for its other end.
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const UniqueFd file(::open(path.c_str(), kFlags, 0644));
  if (!file) return -errno;
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -EINVAL;
  // Others than the owner wait for it, whatever this process's umask is.
  if (::fchmod(file.get(), 0644) != 0) return -errno;
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t count = ::write(file.get(), left.data(), left.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    left.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

}  // namespace varve::image
