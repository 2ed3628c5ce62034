#include "image/result_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "io/bytes.h"
#include "io/same_file.h"
#include "syscalls/unique_fd.h"

namespace varve::image {

namespace {

constexpr std::string_view kSuccess = "success";
constexpr std::string_view kFailed = "failed:";
// Opening a pipe must not wait for its other end.
constexpr int kAlways = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

// Whoever names a wrong file would lose what is in it.
std::optional<std::string> obstacle_in(const UniqueFd& file) {
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) return io::error_text(errno);
  if (!S_ISREG(status.st_mode)) return "is not a regular file";
  if (status.st_size == 0) return std::nullopt;
  std::array<char, kSuccess.size()> begin{};
  static_assert(kFailed.size() == begin.size());
  const ssize_t count = ::pread(file.get(), begin.data(), begin.size(), 0);
  if (count < 0) return io::error_text(errno);
  const std::string_view text(begin.data(), static_cast<std::size_t>(count));
  if (text == kFailed || (text == kSuccess && std::cmp_equal(status.st_size, text.size()))) {
    return std::nullopt;
  }
  return "holds something else than the result of an earlier open, which would be lost";
}

// What is no regular file may do something just because it is opened.
bool may_open(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
}

}  // namespace

std::optional<std::string> result_file_obstacle(const std::string& path,
                                                const std::vector<NamedFile>& files) {
  if (path.empty()) return std::nullopt;
  for (const NamedFile& file : files) {
    if (io::is_same_file(path, file.path)) {
      return "is the image's " + file.key + ", which the result would replace";
    }
  }
  // What cannot be opened or is no file loses nothing; that it cannot be written shows later.
  if (!may_open(path)) return std::nullopt;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | kAlways));
  return file ? obstacle_in(file) : std::nullopt;
}

std::optional<std::string> write_result_file(const std::string& path,
                                             const std::optional<std::string>& failure) {
  if (path.empty()) return std::nullopt;
  std::string text(kSuccess);
  if (failure) text = std::string(kFailed) + *failure;
  // One line, whatever is in the names of files.
  std::replace_if(text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  if (!may_open(path)) return "is not a regular file";
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | kAlways, 0644));
  if (!file) return io::error_text(errno);
  // An empty file may be the index of a sparse layer. Those who write results share the lock.
  if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return "is in use as the writable layer of a device, or a command works on it";
  }
  if (const std::optional<std::string> obstacle = obstacle_in(file)) return obstacle;
  if (::ftruncate(file.get(), 0) != 0) return io::error_text(errno);
  // Others than the owner wait for it, whatever this process's umask is.
  if (::fchmod(file.get(), 0644) != 0) return io::error_text(errno);
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t count = ::write(file.get(), left.data(), left.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return io::error_text(errno);
    }
    left.remove_prefix(static_cast<std::size_t>(count));
  }
  return std::nullopt;
}

}  // namespace varve::image
