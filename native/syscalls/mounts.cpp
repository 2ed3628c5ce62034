// Mounting by the old and the new interface, and unmounting.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"

namespace {

using varve::UniqueFd;

const char* null_if_empty(const char* text) noexcept {
  return text == nullptr || *text == '\0' ? nullptr : text;
}

// The kernel queues one line per problem on the context: "e overlay: ...". The first says most.
void read_message(int context, char* message, size_t capacity) noexcept {
  if (capacity == 0) return;
  const int saved = errno;
  const ssize_t length = ::read(context, message, capacity - 1);
  message[length > 0 ? length : 0] = '\0';
  if (char* end = std::strchr(message, '\n')) *end = '\0';
  errno = saved;
}

// Options are copied, and no exception may leave this library.
int configure(int context, const char* options, size_t options_bytes) noexcept try {
  const char* end = options + options_bytes;
  while (options < end) {
    const size_t length = ::strnlen(options, static_cast<size_t>(end - options));
    const std::string option(options, length);
    options += length + 1;
    if (option.empty()) continue;
    const size_t split = option.find('=');
    const int result =
        split == std::string::npos
            ? ::fsconfig(context, FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0)
            : ::fsconfig(context, FSCONFIG_SET_STRING, option.substr(0, split).c_str(),
                         option.c_str() + split + 1, 0);
    if (result != 0) return -errno;
  }
  return ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0 ? 0 : -errno;
} catch (const std::bad_alloc&) {
  return -ENOMEM;
}

}  // namespace

int varve_sys_mount(const char* source, const char* target, const char* type, uint64_t flags,
                    const char* data) {
  const char* named_source = null_if_empty(source);
  const int result = ::mount(named_source == nullptr ? "none" : named_source, target,
                             null_if_empty(type), flags, null_if_empty(data));
  return result == 0 ? 0 : -errno;
}

int varve_sys_mount_with_options(const char* type, const char* target, const char* options,
                                 size_t options_bytes, uint64_t attributes, char* message,
                                 size_t message_capacity) {
  if (message_capacity > 0) message[0] = '\0';
  const UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context) return -errno;
  if (const int result = configure(context.get(), options, options_bytes); result < 0) {
    read_message(context.get(), message, message_capacity);
    return result;
  }
  const UniqueFd mounted(
      ::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes)));
  if (!mounted) {
    const int error = errno;
    read_message(context.get(), message, message_capacity);
    return -error;
  }
  const int result =
      ::move_mount(mounted.get(), "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
  return result == 0 ? 0 : -errno;
}

int varve_sys_unmount(const char* target, int flags) {
  return ::umount2(target, flags) == 0 ? 0 : -errno;
}
