#include "helper/directory_stack.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "helper/failure.h"

namespace varve {

namespace {

constexpr size_t kOpenDirectoriesMax = 64;
constexpr size_t kPathInMessagesMax = 4096;

void remember_identity(OpenDirectory& directory) {
  struct stat status = {};
  if (::fstat(directory.fd.get(), &status) != 0) throw Failure(errno, "fstat", directory.name);
  directory.device = status.st_dev;
  directory.inode = status.st_ino;
}

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

}  // namespace

UniqueFd open_beneath(int directory, const std::string& name) {
  open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  // EAGAIN: a rename elsewhere raced with the kernel's proof that the path stays beneath.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const long fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return UniqueFd();
}

int for_each_entry(int directory,
                   const std::function<void(const char* name, unsigned char type)>& visit) {
  if (::lseek(directory, 0, SEEK_SET) != 0) return errno;
  alignas(dirent64) std::array<char, 32768> buffer;
  for (;;) {
    const long length = ::syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (length < 0) return errno;
    if (length == 0) return 0;
    for (size_t offset = 0; offset < static_cast<size_t>(length);) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + offset);
      offset += entry->d_reclen;
      if (!is_dot(entry->d_name)) visit(entry->d_name, entry->d_type);
    }
  }
}

DirectoryStack::DirectoryStack(UniqueFd root, std::string path) {
  OpenDirectory frame;
  frame.fd = std::move(root);
  frame.name = std::move(path);
  remember_identity(frame);
  frames_.push_back(std::move(frame));
}

int DirectoryStack::descend(const std::string& name) {
  OpenDirectory frame;
  frame.fd = open_beneath(top().fd.get(), name);
  if (!frame.fd) return errno;
  frame.name = name;
  remember_identity(frame);
  frames_.push_back(std::move(frame));
  limit_open_directories();
  return 0;
}

void DirectoryStack::ascend() {
  const OpenDirectory child = std::move(frames_.back());
  frames_.pop_back();
  OpenDirectory& parent = top();
  if (parent.fd) return;
  UniqueFd reopened(::openat(child.fd.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!reopened) throw Failure(errno, "openat", path_of(child.name + "/.."));
  struct stat status = {};
  if (::fstat(reopened.get(), &status) != 0) throw Failure(errno, "fstat", path_of());
  if (status.st_dev != parent.device || status.st_ino != parent.inode) {
    throw Failure(ESTALE, "openat", path_of(child.name), "the directory was moved meanwhile");
  }
  parent.fd = std::move(reopened);
}

std::string DirectoryStack::path_of(const std::string& name) const {
  std::string path;
  for (const OpenDirectory& frame : frames_) {
    if (!path.empty()) path += '/';
    path += frame.name;
    if (path.size() > kPathInMessagesMax) return path.substr(0, kPathInMessagesMax) + "…";
  }
  return name.empty() ? path : path + "/" + name;
}

void DirectoryStack::limit_open_directories() {
  // The root stays open: it is where removal ends, and it has no trusted way back.
  if (frames_.size() <= kOpenDirectoriesMax) return;
  const size_t oldest = frames_.size() - kOpenDirectoriesMax;
  if (oldest > 0) frames_[oldest].fd.reset();
}

}  // namespace varve
