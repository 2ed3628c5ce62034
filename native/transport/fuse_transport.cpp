#include "transport/fuse_transport.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "transport/fuse_connection.h"
#include "transport/fuse_mount.h"
#include "transport/loop_device.h"

namespace varve::transport {

namespace {

constexpr std::uint64_t kSectorBytes = 512;
// How often users are looked for before they count.
constexpr int kLooks = 6;
constexpr std::chrono::milliseconds kLookPause{20};

bool has_admin_capability() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets = {};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return true;
  return (sets[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

[[noreturn]] void fail(const std::string& step, int error) {
  throw TransportError(error, step + ": " + std::strerror(error));
}

// The kernel keeps a file's size and asks again only when it is told to.
void take_size(int file, std::uint64_t expected_bytes) {
  struct stat status = {};
  if (::fstat(file, &status) != 0) fail("fstat of the FUSE file", errno);
  if (static_cast<std::uint64_t>(status.st_size) != expected_bytes) {
    throw TransportError(EIO, "the kernel did not take over the size of the FUSE file");
  }
}

// Of this thread alone, from now on; those of the others stay as they are.
void hold_standard_descriptors_alone() noexcept {
  static_cast<void>(::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE));
}

class FuseDevice : public AttachedDevice {
 public:
  FuseDevice(std::shared_ptr<ServingPool> pool, UniqueFd fuse, std::shared_ptr<BlockDevice> content,
             const AttachOptions& options)
      : pool_(std::move(pool)), content_(content) {
    mount_.emplace(fuse.get(), options.name, options.is_read_only);
    fuse_device_ = mount_->device();
    const auto connection =
        std::make_shared<FuseConnection>(std::move(fuse), content, options.is_read_only);
    connection_ = connection;
    end_ = connection->end();
    id_ = pool_->add(connection);
    try {
      const UniqueFd file = mount_->open_file();
      take_size(file.get(), content->size());
      loop_.emplace(file.get(), LoopOptions{.name = options.name,
                                            .is_read_only = options.is_read_only,
                                            .block_size_bytes = options.block_size_bytes,
                                            .stays = options.outlives_process});
    } catch (...) {
      pool_->remove(id_);
      throw;
    }
    path_ = loop_->path();
    loop_device_ = loop_->device();
    has_direct_io_ = loop_->has_direct_io();
  }

  ~FuseDevice() override { let_go(); }
  FuseDevice(const FuseDevice&) = delete;
  FuseDevice& operator=(const FuseDevice&) = delete;

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] bool has_direct_io() const noexcept override { return has_direct_io_; }

  [[nodiscard]] std::vector<DeviceUser> users() const override {
    const std::lock_guard lock(mutex_);
    return loop_ || has_loop() ? lasting_users() : std::vector<DeviceUser>();
  }

  [[nodiscard]] bool has_ended() const override {
    return end_->wait(std::chrono::milliseconds(0));
  }

  [[nodiscard]] int resized() override {
    const std::lock_guard lock(mutex_);
    const auto connection = connection_.lock();
    const auto content = content_.lock();
    if (!loop_ || connection == nullptr || content == nullptr) return -ENODEV;
    if (const int error = connection->invalidate_attributes(); error != 0) return error;
    try {
      take_size(mount_->open_file().get(), content->size());
    } catch (const TransportError& failure) {
      return -failure.error();
    }
    return loop_->update_size();
  }

  int sync() override {
    if (!has_loop()) return 0;
    // A thread that waits for our own connection must not be what keeps that from ending with us.
    return std::async(std::launch::async, [this] {
             hold_standard_descriptors_alone();
             // Opened anew: closing need not wait for this, and one that was detached can still be
             // in use.
             const UniqueFd loop = open_loop_on(path_, fuse_device_);
             return loop ? sync_block_device(loop.get()) : 0;
           })
        .get();
  }

  CloseResult close(CloseMode mode, std::chrono::milliseconds patience) override {
    const std::lock_guard lock(mutex_);
    CloseResult result;
    if (mode == CloseMode::kIfUnused && loop_) {
      result.users = lasting_users();
      if (!result.users.empty()) {
        result.error = -EBUSY;
        return result;
      }
    }
    // Before letting go: the kernel writes what it holds of a device whose last user closes it.
    if (mode == CloseMode::kAbort) abort();
    let_go();
    // An aborted connection ends at once, but the loop device stays until its users let go of it.
    const bool has_ended = end_->wait(patience);
    const bool is_still_there = has_loop();
    result.is_gone = has_ended && !is_still_there;
    if (is_still_there) result.users = find_device_users(loop_device_);
    if (is_still_there && result.users.empty() && has_loop()) {
      result.users.push_back({.text = "somebody who cannot be found has it open"});
    }
    return result;
  }

 private:
  void let_go() noexcept {
    if (loop_) loop_->detach();
    loop_.reset();
    mount_.reset();
  }

  void abort() noexcept {
    if (has_ended()) return;
    is_aborted_ = true;
    static_cast<void>(abort_fuse_connection(fuse_device_));
    // Without fusectl the end of the only descriptor does the same.
    pool_->remove(id_);
  }

  // Once the connection has ended by itself, the loop device is gone, and the numbers of both may be
  // another device's by now.
  [[nodiscard]] bool has_loop() const {
    return (is_aborted_ || !has_ended()) && is_loop_on(path_, fuse_device_);
  }

  // Whoever only looks at a device is gone in a moment: udev, or who seeks a free one.
  [[nodiscard]] std::vector<DeviceUser> lasting_users() const {
    std::vector<DeviceUser> users;
    for (int look = 0; look < kLooks; ++look) {
      if (look > 0) std::this_thread::sleep_for(kLookPause);
      users = find_device_users(loop_device_, {.number = loop_ ? loop_->descriptor() : -1});
      const bool may_pass = std::any_of(users.begin(), users.end(), [](const DeviceUser& user) {
        return user.kind == DeviceUser::Kind::kDescriptor;
      });
      if (!may_pass) break;
    }
    return users;
  }

  std::shared_ptr<ServingPool> pool_;
  std::weak_ptr<BlockDevice> content_;
  std::weak_ptr<FuseConnection> connection_;
  std::shared_ptr<ConnectionEnd> end_;
  ServingPool::Id id_ = 0;
  dev_t fuse_device_ = 0;
  dev_t loop_device_ = 0;
  std::string path_;
  bool has_direct_io_ = false;
  std::atomic<bool> is_aborted_ = false;

  mutable std::mutex mutex_;  // for what follows
  std::optional<FuseMount> mount_;
  std::optional<LoopDevice> loop_;
};

}  // namespace

FuseTransport::FuseTransport(std::shared_ptr<ServingPool> pool, OpenFuse open)
    : pool_(std::move(pool)), open_(std::move(open)) {
  if (!open_) open_ = [](const std::string&) { return open_fuse(); };
}

std::vector<std::string> FuseTransport::lacking() const {
  std::vector<std::string> found;
  if (!has_admin_capability()) {
    found.emplace_back("this process lacks CAP_SYS_ADMIN: run it as root, or with that capability");
  }
  constexpr std::array<std::array<const char*, 2>, 2> kNeeded = {
      {{"/dev/fuse", "fuse"}, {"/dev/loop-control", "loop"}}};
  for (const auto& [path, module] : kNeeded) {
    if (const UniqueFd file(::open(path, O_RDWR | O_CLOEXEC)); file) continue;
    const int error = errno;
    const bool is_forbidden = error == EACCES || error == EPERM;
    found.push_back(std::string(path) + " cannot be opened (" + std::strerror(error) + "): " +
                    (is_forbidden ? "run this process as root"
                                  : std::string("load the kernel's module ") + module) +
                    ", or let its container have the device");
  }
  return found;
}

std::unique_ptr<AttachedDevice> FuseTransport::attach(std::shared_ptr<BlockDevice> content,
                                                      const AttachOptions& options) {
  const std::uint64_t size = content->size();
  if (size == 0 || size % kSectorBytes != 0 || size > INT64_MAX) {
    throw TransportError(EINVAL, "a device of " + std::to_string(size) +
                                     " bytes: the size must be a multiple of 512 and not 0");
  }
  return std::make_unique<FuseDevice>(pool_, open_(options.name), std::move(content), options);
}

}  // namespace varve::transport
