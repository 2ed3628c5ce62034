// Directories, links and small files of the kernel, in configfs and sysfs: one system call each,
// which can wait for as long as a driver behind it does.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "helper/directory_stack.h"
#include "helper/failure.h"
#include "helper/operations.h"
#include "syscalls/unique_fd.h"

namespace varve {

namespace {

// More than any attribute holds: they are one page.
constexpr std::size_t kAttributeBytesMax = 1 << 16;
constexpr std::size_t kLinkBytesMax = 4096;

// False if the call failed with the errno that means that nothing was to be done.
bool done_unless(int result, int nothing_to_do, const char* step, const std::string& path) {
  if (result == 0) return true;
  if (errno == nothing_to_do) return false;
  throw Failure(errno, step, path);
}

UniqueFd open_attribute(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!file) throw Failure(errno, "open", path);
  return file;
}

std::string link_target(int directory, const char* name, const std::string& path) {
  std::string target(kLinkBytesMax, '\0');
  const ssize_t length = ::readlinkat(directory, name, target.data(), target.size());
  if (length < 0) throw Failure(errno, "readlink", path);
  target.resize(static_cast<std::size_t>(length));
  return target;
}

}  // namespace

bool make_directory(const std::string& path) {
  return done_unless(::mkdir(path.c_str(), 0700), EEXIST, "mkdir", path);
}

bool remove_directory(const std::string& path) {
  return done_unless(::rmdir(path.c_str()), ENOENT, "rmdir", path);
}

bool make_link(const std::string& path, const std::string& target) {
  return done_unless(::symlink(target.c_str(), path.c_str()), EEXIST, "symlink", path);
}

bool remove_link(const std::string& path) {
  return done_unless(::unlink(path.c_str()), ENOENT, "unlink", path);
}

void write_attribute(const std::string& path, const std::string& text) {
  const UniqueFd file = open_attribute(path, O_WRONLY);
  // Each write is an order of its own, so it is given whole or not at all.
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written < 0) throw Failure(errno, "write", path);
  if (static_cast<std::size_t>(written) != text.size()) {
    throw Failure(EIO, "write", path, "it took a part of what was written");
  }
}

std::string read_attribute(const std::string& path) {
  const UniqueFd file = open_attribute(path, O_RDONLY);
  std::string bytes(kAttributeBytesMax, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (count < 0) throw Failure(errno, "read", path);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  bytes.resize(size);
  return bytes;
}

std::vector<DirectoryEntry> list_directory(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) throw Failure(errno, "open", path);
  std::vector<DirectoryEntry> entries;
  const int error = for_each_entry(directory.get(), [&](const char* name, unsigned char type) {
    entries.push_back({.name = name, .is_link = type == DT_LNK, .target = {}});
  });
  if (error != 0) throw Failure(error, "getdents", path);
  for (DirectoryEntry& entry : entries) {
    if (!entry.is_link) continue;
    entry.target = link_target(directory.get(), entry.name.c_str(), path + "/" + entry.name);
  }
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

DeviceNumber device_number(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) throw Failure(errno, "stat", path);
  if (!S_ISBLK(status.st_mode)) throw Failure(ENOTBLK, "stat", path);
  return {.major = major(status.st_rdev), .minor = minor(status.st_rdev)};
}

}  // namespace varve
