#include "transport/device_users.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include "syscalls/unique_fd.h"
#include "transport/kernel_files.h"

namespace varve::transport {

namespace {

// How often users are looked for before they count.
constexpr int kLooks = 6;
constexpr std::chrono::milliseconds kLookPause{20};

int number_of(std::string_view text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

std::string link_target(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  target.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return target;
}

// As mountinfo writes it: "\040" for a space.
std::string unescaped(std::string_view text) {
  std::string plain;
  const auto is_octal = [](char character) { return character >= '0' && character <= '7'; };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && text.size() - at > 3 && is_octal(text[at + 1]) &&
        is_octal(text[at + 2]) && is_octal(text[at + 3])) {
      plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                                 (text[at + 3] - '0'));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

// The device that lies behind a loop device; 0 for one on a file, or without anything.
dev_t device_behind(const std::string& loop) {
  const std::string file = read_line("/sys/block/" + loop + "/loop/backing_file");
  // The root of a file system is no device: those of our own devices need not be opened.
  if (file.empty() || file == "/") return 0;
  const UniqueFd fd(::open(("/dev/" + loop).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  loop_info64 info = {};
  return fd && ::ioctl(fd.get(), LOOP_GET_STATUS64, &info) == 0 ? info.lo_rdevice : 0;
}

std::string process_text(int process) {
  return "process " + std::to_string(process) + " (" +
         read_line("/proc/" + std::to_string(process) + "/comm") + ")";
}

// What one look at everything collects.
class Search {
 public:
  Search(dev_t device, NoUsers none)
      : device_(device),
        none_(none),
        numbers_(std::to_string(major(device)) + ":" + std::to_string(minor(device))) {
    const std::string uevent = "/sys/dev/block/" + numbers_ + "/uevent";
    std::ifstream file(uevent);
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("DEVNAME=", 0) == 0) path_ = "/dev/" + line.substr(8);
    }
  }

  std::vector<DeviceUser> run() {
    // A mount that this process sees, too, needs nobody's name, so its own view comes first.
    const int self = ::getpid();
    look_at_process(self);
    for (const std::string& name : names_in("/proc")) {
      if (const int process = number_of(name); process > 0 && process != self) {
        look_at_process(process);
      }
    }
    for (const std::string& name : names_in("/sys/dev/block/" + numbers_ + "/holders")) {
      add(DeviceUser::Kind::kHolder, 0, "the block device " + name + " is built on it");
    }
    for (const std::string& name : names_in("/sys/block")) {
      if (name.rfind("loop", 0) == 0 && device_behind(name) == device_) {
        add(DeviceUser::Kind::kHolder, 0, "the block device " + name + " is built on it");
      }
    }
    look_at_swap();
    // Where it is mounted, the mount is to be undone, and says enough.
    if (!is_mounted_) users_.insert(users_.end(), file_users_.begin(), file_users_.end());
    return std::move(users_);
  }

 private:
  void add(DeviceUser::Kind kind, int process, std::string text) {
    users_.push_back({.kind = kind, .process = process, .text = std::move(text)});
  }

  void look_at_process(int process) {
    const std::string folder = "/proc/" + std::to_string(process);
    bool has_file = false;
    bool has_device = false;
    for (const std::string& name : names_in(folder + "/fd")) {
      const std::string link = folder + "/fd/" + name;
      struct statx status = {};
      if (!look(link, status)) continue;
      const bool is_own = process == ::getpid() && number_of(name) == none_.own_descriptor;
      if (is_device(status) && !is_own && process != none_.process) {
        add(DeviceUser::Kind::kDescriptor, process,
            process_text(process) + " has it open as descriptor " + name);
        has_device = true;
      }
      has_file = has_file || is_on_device(status);
    }
    look_at_mappings(process, has_device, has_file);
    for (const char* name : {"/cwd", "/root"}) {
      struct statx status = {};
      has_file = has_file || (look(folder + name, status) && is_on_device(status));
    }
    if (has_file) {
      file_users_.push_back({.kind = DeviceUser::Kind::kFile,
                             .process = process,
                             .text = process_text(process) + " uses files of its file system"});
    }
    const std::string mount_namespace = link_target(folder + "/ns/mnt");
    if (!mount_namespace.empty() && namespaces_.insert(mount_namespace).second) {
      look_at_mounts(process);
    }
  }

  // What is mapped stays in use when its descriptor is closed.
  void look_at_mappings(int process, bool has_device, bool& has_file) {
    const std::string folder = "/proc/" + std::to_string(process);
    std::ifstream table(folder + "/maps");
    for (std::string line; std::getline(table, line);) {
      // "7f00-7f80 rw-s 00000000 00:05 12 /dev/loop3": the device that the inode is on, not the one
      // that it stands for, so each inode is looked at once.
      std::istringstream fields(line);
      std::string addresses;
      std::string skipped;
      std::string numbers;
      std::string inode;
      fields >> addresses >> skipped >> skipped >> numbers >> inode;
      if (inode.empty() || inode == "0") continue;
      const auto [known, is_new] = mapped_.emplace(numbers + " " + inode, Mapped());
      if (is_new) {
        struct statx status = {};
        if (!look(folder + "/map_files/" + addresses, status)) {
          mapped_.erase(known);
          continue;
        }
        known->second = {.is_device = is_device(status), .is_file = is_on_device(status)};
      }
      has_file = has_file || known->second.is_file;
      if (!known->second.is_device || has_device) continue;
      add(DeviceUser::Kind::kDescriptor, process, process_text(process) + " has it mapped");
      has_device = true;
    }
  }

  // Without asking a file system that may not answer.
  static bool look(const std::string& link, struct statx& status) {
    return ::statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &status) ==
           0;
  }

  [[nodiscard]] bool is_device(const struct statx& status) const {
    return (status.stx_mode & S_IFMT) == S_IFBLK &&
           ::makedev(status.stx_rdev_major, status.stx_rdev_minor) == device_;
  }

  [[nodiscard]] bool is_on_device(const struct statx& status) const {
    return ::makedev(status.stx_dev_major, status.stx_dev_minor) == device_;
  }

  void look_at_mounts(int process) {
    std::ifstream table("/proc/" + std::to_string(process) + "/mountinfo");
    for (std::string line; std::getline(table, line);) {
      // "36 35 98:0 /root /mount/point options… - type source super": some file systems have a
      // number of their own, so the source counts, too.
      std::istringstream fields(line);
      std::string skipped;
      std::string numbers;
      std::string mount_point;
      fields >> skipped >> skipped >> numbers >> skipped >> mount_point;
      while (fields >> skipped && skipped != "-") {
      }
      std::string source;
      fields >> skipped >> source;
      if (numbers != numbers_ && (path_.empty() || unescaped(source) != path_)) continue;
      mount_point = unescaped(mount_point);
      is_mounted_ = true;
      if (process == ::getpid()) {
        add(DeviceUser::Kind::kMount, 0, "it is mounted at " + mount_point);
      } else {
        add(DeviceUser::Kind::kMount, process,
            "it is mounted at " + mount_point + ", as " + process_text(process) + " sees it");
      }
    }
  }

  void look_at_swap() {
    std::ifstream table("/proc/swaps");
    for (std::string line; std::getline(table, line);) {
      if (!path_.empty() && line.rfind(path_ + " ", 0) == 0) {
        add(DeviceUser::Kind::kSwap, 0, "the kernel swaps to it");
      }
    }
  }

  struct Mapped {
    bool is_device = false;
    bool is_file = false;
  };

  dev_t device_;
  NoUsers none_;
  std::string numbers_;  // "7:3", as sysfs and mountinfo write it
  std::string path_;
  std::set<std::string> namespaces_;  // of mounts, seen already
  std::map<std::string, Mapped> mapped_;  // by device and inode, as maps writes them
  bool is_mounted_ = false;
  std::vector<DeviceUser> users_;
  std::vector<DeviceUser> file_users_;
};

}  // namespace

std::vector<DeviceUser> find_device_users(dev_t device, NoUsers none) {
  return Search(device, none).run();
}

std::vector<DeviceUser> find_lasting_users(dev_t device, NoUsers none) {
  std::vector<DeviceUser> users;
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) std::this_thread::sleep_for(kLookPause);
    users = find_device_users(device, none);
    const bool may_pass = std::any_of(users.begin(), users.end(), [](const DeviceUser& user) {
      return user.kind == DeviceUser::Kind::kDescriptor;
    });
    if (!may_pass) break;
  }
  return users;
}

}  // namespace varve::transport
