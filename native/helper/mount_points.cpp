#include "helper/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "helper/failure.h"

namespace varve {

namespace {

constexpr size_t kPathBytesMax = 65536;

std::string path_of_descriptor(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  std::string path(kPathBytesMax, '\0');
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length < 0) throw Failure(errno, "readlink", link);
  path.resize(static_cast<size_t>(length));
  return path;
}

uint64_t mount_id_of(int fd) {
  struct statx status = {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0) throw Failure(errno, "statx", "");
  if ((status.stx_mask & STATX_MNT_ID) == 0) throw Failure(ENOSYS, "statx", "", "no mount ids");
  return status.stx_mnt_id;
}

bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

}  // namespace

std::string unescape_mount_field(const std::string& field) {
  std::string text;
  for (size_t index = 0; index < field.size(); ++index) {
    if (field[index] == '\\' && index + 3 < field.size() && is_octal(field[index + 1]) &&
        is_octal(field[index + 2]) && is_octal(field[index + 3])) {
      const int code = (field[index + 1] - '0') * 64 + (field[index + 2] - '0') * 8 +
                       (field[index + 3] - '0');
      text += static_cast<char>(code);
      index += 3;
    } else {
      text += field[index];
    }
  }
  return text;
}

std::optional<std::string> mount_point_below(int directory) {
  const uint64_t mount_id = mount_id_of(directory);
  const std::string prefix = path_of_descriptor(directory) + "/";
  std::ifstream table("/proc/self/mountinfo");
  if (!table) throw Failure(errno, "open", "/proc/self/mountinfo");
  std::string line;
  while (std::getline(table, line)) {
    // "36 35 98:0 /root /mount/point options…": only mounts sitting on this directory's own mount
    // can be below it; what is mounted on those is hidden behind them.
    std::istringstream fields(line);
    uint64_t id = 0;
    uint64_t parent_id = 0;
    std::string device;
    std::string root;
    std::string mount_point;
    if (!(fields >> id >> parent_id >> device >> root >> mount_point)) continue;
    if (parent_id != mount_id) continue;
    const std::string path = unescape_mount_field(mount_point);
    if (path.compare(0, prefix.size(), prefix) == 0) return path;
  }
  if (table.bad()) throw Failure(EIO, "read", "/proc/self/mountinfo");
  return std::nullopt;
}

}  // namespace varve
