#include "transport/fuse_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "transport/transport.h"

namespace varve::transport {

namespace {

[[noreturn]] void fail(const std::string& step, int error) {
  throw TransportError(error, step + ": " + std::strerror(error));
}

void set_option(int context, const char* key, const std::string& value) {
  if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) {
    fail(std::string("FUSE mount: option ") + key, errno);
  }
}

// A minor number of the kernel's anonymous devices stands alone in fusectl's names.
int abort_file(int connections, dev_t device) noexcept {
  std::array<char, 32> name = {};
  static_cast<void>(std::snprintf(name.data(), name.size(), "%u/abort", ::minor(device)));
  return ::openat(connections, name.data(), O_WRONLY | O_CLOEXEC);
}

}  // namespace

UniqueFd open_fuse() {
  UniqueFd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fuse) fail("open /dev/fuse", errno);
  return fuse;
}

FuseMount::FuseMount(int fuse, const std::string& name, bool is_read_only)
    : is_read_only_(is_read_only) {
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) fail("fsopen fuse", errno);
  set_option(context.get(), "source", name.empty() ? "varve" : name);
  set_option(context.get(), "subtype", "varve");
  set_option(context.get(), "fd", std::to_string(fuse));
  set_option(context.get(), "rootmode", "100600");  // the root is the file
  set_option(context.get(), "user_id", "0");
  set_option(context.get(), "group_id", "0");
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    fail("FUSE mount", errno);
  }
  unsigned int attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (is_read_only) attributes |= MOUNT_ATTR_RDONLY;
  mount_.reset(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount_) fail("fsmount", errno);
  look();
}

FuseMount::FuseMount(UniqueFd mount, bool is_read_only)
    : mount_(std::move(mount)), is_read_only_(is_read_only) {
  look();
}

void FuseMount::look() {
  // Answered from what the kernel has: nobody serves yet, and this must not wait for it.
  struct statx status = {};
  if (::statx(mount_.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status) != 0) {
    fail("statx of the FUSE mount", errno);
  }
  device_ = ::makedev(status.stx_dev_major, status.stx_dev_minor);
}

UniqueFd FuseMount::open_file() const {
  const std::string path = "/proc/self/fd/" + std::to_string(mount_.get());
  UniqueFd file(::open(path.c_str(), (is_read_only_ ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!file) fail("open of the FUSE file", errno);
  return file;
}

int abort_fuse_connection(dev_t device) noexcept {
  const UniqueFd context(::fsopen("fusectl", FSOPEN_CLOEXEC));
  if (!context) return -errno;
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -errno;
  const UniqueFd connections(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!connections) return -errno;
  const UniqueFd file(abort_file(connections.get(), device));
  if (!file) return -errno;
  return ::write(file.get(), "1", 1) == 1 ? 0 : -errno;
}

}  // namespace varve::transport
