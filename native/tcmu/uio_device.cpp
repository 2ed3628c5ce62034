#include "tcmu/uio_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "tcmu/protocol.h"
#include "transport/kernel_files.h"
#include "transport/transport.h"

namespace varve::tcmu {

namespace {

constexpr std::string_view kName = "uio";
// As much as the kernel ever shares of a device: commands, and 2 GiB of data.
constexpr std::uint64_t kMemoryBytesMax = std::uint64_t{4} << 30;

[[noreturn]] void fail(std::uint32_t minor, const std::string& step, int error) {
  throw transport::TransportError(error,
                                  uio_path(minor) + ": " + step + ": " + std::strerror(error));
}

std::string folder_of(std::uint32_t minor) { return "/sys/class/uio/uio" + std::to_string(minor); }

std::uint64_t mapping_size(std::uint32_t minor) {
  const std::string text = transport::read_line(folder_of(minor) + "/maps/map0/size");
  std::uint64_t size = 0;
  if (text.rfind("0x", 0) != 0) return 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 2, end, size, 16);
  return error == std::errc() && stop == end && size <= kMemoryBytesMax ? size : 0;
}

}  // namespace

std::vector<std::uint32_t> uio_minors() {
  std::vector<std::uint32_t> minors;
  for (const std::string& name : transport::names_in("/sys/class/uio")) {
    std::uint32_t minor = 0;
    if (name.rfind(kName, 0) != 0) continue;
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kName.size(), end, minor);
    if (error == std::errc() && stop == end) minors.push_back(minor);
  }
  return minors;
}

std::string uio_target(std::uint32_t minor) { return transport::read_line(folder_of(minor) + "/name"); }

std::string uio_path(std::uint32_t minor) { return "/dev/uio" + std::to_string(minor); }

UioDevice::UioDevice(std::uint32_t minor, const std::string& target) {
  device_.reset(::open(uio_path(minor).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!device_) fail(minor, "open", errno);
  struct stat status = {};
  if (::fstat(device_.get(), &status) != 0) fail(minor, "fstat", errno);
  const std::string number =
      std::to_string(major(status.st_rdev)) + ":" + std::to_string(::minor(status.st_rdev));
  if (!S_ISCHR(status.st_mode) || number != transport::read_line(folder_of(minor) + "/dev")) {
    fail(minor, "it is not the device that the kernel calls so", ENODEV);
  }
  if (uio_target(minor) != target) fail(minor, "it belongs to another device by now", ENODEV);
  const std::uint64_t size = mapping_size(minor);
  if (size == 0) fail(minor, "the size of its memory is unknown", EINVAL);
  // In two steps: in a process that has its memory locked the kernel would touch all of a mapping
  // that can be used, and not all of this one is there.
  void* memory = ::mmap(nullptr, size, PROT_NONE, MAP_SHARED, device_.get(), 0);
  if (memory == MAP_FAILED) fail(minor, "mmap", errno);
  memory_ = {static_cast<std::byte*>(memory), size};
  if (::mprotect(memory, size, PROT_READ | PROT_WRITE) != 0) {
    const int error = errno;
    ::munmap(memory, size);
    fail(minor, "mprotect", error);
  }
}

UioDevice::~UioDevice() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

UioDevice::Heard UioDevice::listen() const noexcept {
  std::int32_t count = 0;
  while (true) {
    if (::read(device_.get(), &count, sizeof count) == sizeof count) return Heard::kNews;
    if (errno == EAGAIN) return Heard::kNothing;
    if (errno != EINTR) return Heard::kEnd;
  }
}

void UioDevice::tell() const noexcept {
  const std::int32_t nothing = 0;
  // It fails when the device is gone, and then nobody waits for an answer.
  while (::write(device_.get(), &nothing, sizeof nothing) < 0 && errno == EINTR) {
  }
}

}  // namespace varve::tcmu
