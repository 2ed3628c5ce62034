#include "transport/loop_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "transport/transport.h"

namespace varve::transport {

namespace {

// Each time somebody else was quicker; they cannot be quicker for ever.
constexpr int kAttemptsMax = 1000;
constexpr std::chrono::milliseconds kPause{1};

[[noreturn]] void fail(const std::string& step, int error) {
  throw TransportError(error, step + ": " + std::strerror(error));
}

loop_config configuration(int file, const LoopOptions& options) {
  loop_config config = {};
  config.fd = static_cast<__u32>(file);
  config.block_size = options.block_size_bytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
  if (options.is_read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  options.name.copy(reinterpret_cast<char*>(config.info.lo_file_name), LO_NAME_SIZE - 1);
  return config;
}

bool reads_direct(int loop, dev_t device) {
  loop_info64 info = {};
  if (::ioctl(loop, LOOP_GET_STATUS64, &info) != 0) return false;
  if ((info.lo_flags & LO_FLAGS_DIRECT_IO) == 0) return false;
  const std::string path = "/sys/dev/block/" + std::to_string(major(device)) + ":" +
                           std::to_string(minor(device)) + "/loop/dio";
  const UniqueFd attribute(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char value = '1';  // without sysfs the flag alone counts
  if (attribute) static_cast<void>(::read(attribute.get(), &value, 1));
  return value == '1';
}

}  // namespace

LoopDevice::LoopDevice(int file, const LoopOptions& options) {
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) fail("open /dev/loop-control", errno);
  const loop_config config = configuration(file, options);
  const int mode = options.is_read_only ? O_RDONLY : O_RDWR;
  for (int attempt = 0;; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) fail("LOOP_CTL_GET_FREE", errno);
    path_ = "/dev/loop" + std::to_string(number);
    UniqueFd loop(::open(path_.c_str(), mode | O_CLOEXEC));
    if (!loop) fail("open " + path_, errno);
    if (::ioctl(loop.get(), LOOP_CONFIGURE, &config) == 0) {
      // An own descriptor for writing would keep the kernel from mounting where it forbids writers
      // beside a mount. The first one stays until then: without any the device would be cleared.
      loop_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      if (!loop_) {
        const int error = errno;
        ::ioctl(loop.get(), LOOP_CLR_FD);
        fail("open " + path_, error);
      }
      break;
    }
    if (errno != EBUSY || attempt == kAttemptsMax) fail("LOOP_CONFIGURE of " + path_, errno);
    if (attempt > 0) std::this_thread::sleep_for(kPause);
  }
  look();
}

LoopDevice::LoopDevice(UniqueFd loop, std::string path)
    : loop_(std::move(loop)), path_(std::move(path)) {
  look();
}

void LoopDevice::look() {
  struct stat status = {};
  if (::fstat(loop_.get(), &status) != 0) fail("fstat of " + path_, errno);
  if (!S_ISBLK(status.st_mode)) fail(path_, ENOTBLK);
  device_ = status.st_rdev;
  has_direct_io_ = reads_direct(loop_.get(), device_);
}

std::uint64_t LoopDevice::size() const {
  std::uint64_t bytes = 0;
  if (::ioctl(loop_.get(), BLKGETSIZE64, &bytes) != 0) fail("the size of " + path_, errno);
  return bytes;
}

int LoopDevice::update_size() const noexcept {
  return ::ioctl(loop_.get(), LOOP_SET_CAPACITY) == 0 ? 0 : -errno;
}

void LoopDevice::detach() noexcept {
  // The kernel clears it when its last user closes it, and writes before; what it holds of a device
  // that its only user has told to be cleared would be lost.
  loop_.reset();
}

int sync_block_device(int device) noexcept {
  // fsync alone leaves out what a file system has not yet brought to the device; BLKFLSBUF tells of
  // no error.
  if (::ioctl(device, BLKFLSBUF, 0) != 0) return -errno;
  return ::fsync(device) == 0 ? 0 : -errno;
}

UniqueFd open_loop_on(const std::string& path, dev_t file_system) noexcept {
  UniqueFd loop(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  loop_info64 info = {};
  if (loop && (::ioctl(loop.get(), LOOP_GET_STATUS64, &info) != 0 ||
               info.lo_device != file_system)) {
    loop.reset();
  }
  return loop;
}

}  // namespace varve::transport
