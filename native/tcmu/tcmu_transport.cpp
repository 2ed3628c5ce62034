#include "tcmu/tcmu_transport.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "tcmu/protocol.h"
#include "tcmu/target_disks.h"
#include "tcmu/uio_device.h"
#include "transport/kernel_files.h"
#include "transport/loop_device.h"
#include "transport/own_descriptors.h"

namespace varve::tcmu {

namespace {

using transport::CloseMode;
using transport::CloseResult;
using transport::DeviceUser;

constexpr std::chrono::milliseconds kIdlePause{5};

std::string core_folder(const TargetName& name) {
  return std::string(kTargetRoot) + "core/" + name.directory();
}

// While it lives, the kernel gives new commands back as "busy", to be sent again.
class Blocked {
 public:
  explicit Blocked(const std::string& folder) : file_(folder + "/action/block_dev") {
    error_ = transport::write_text(file_, "1");
  }
  ~Blocked() { static_cast<void>(transport::write_text(file_, "0")); }
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  // 0 or a negative errno.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  std::string file_;
  int error_ = 0;
};

// A command may be where one that was answered was laid before, so without this some would be
// carried out again, and others never.
void send_again(const std::string& folder, const Blocked& blocked) {
  int error = blocked.error();
  if (error == 0) error = transport::write_text(folder + "/action/reset_ring", "1");
  if (error == 0) return;
  throw transport::TransportError(-error, folder + "/action cannot be written (" +
                                              std::strerror(-error) +
                                              "), without which its ring cannot be taken over");
}

// Of a disk that is shown already. The layer of a writable one knows better: it may have got another
// size before the kernel did.
void check_size(const TargetName& name, const transport::BlockDevice& content) {
  for (const TargetDisk& disk : find_disks(name)) {
    const std::string sectors = transport::read_line("/sys/class/block/" + disk.name + "/size");
    if (sectors.empty() || sectors == std::to_string(content.size() / scsi::kBlockBytes)) continue;
    throw transport::TransportError(
        EIO, disk.path() + " has " + sectors + " sectors of 512 bytes, and its image has " +
                 std::to_string(content.size()) + " bytes");
  }
}

// That of the configuration if it has one, else one of the names that no other device here has.
std::string serial_of(const TargetName& name) {
  const std::string line = transport::read_line(core_folder(name) + "/wwn/vpd_unit_serial");
  const std::size_t colon = line.find(": ");
  std::string serial = colon == std::string::npos ? std::string() : line.substr(colon + 2);
  if (serial.empty()) serial = name.adapter + "-" + name.device;
  std::replace_if(
      serial.begin(), serial.end(), [](char one) { return one < ' ' || one > '~'; }, '_');
  return serial;
}

class TcmuDevice final : public transport::AttachedDevice {
 public:
  TcmuDevice(std::shared_ptr<transport::ServingPool> pool, Target target,
             std::shared_ptr<std::atomic<bool>> is_removed,
             const std::shared_ptr<TcmuConnection>& connection)
      : pool_(std::move(pool)),
        target_(std::move(target)),
        path_(uio_path(target_.minor)),
        is_removed_(std::move(is_removed)),
        connection_(connection),
        end_(connection->end()),
        id_(pool_->add(connection)) {}

  ~TcmuDevice() override { pool_->remove(id_); }
  TcmuDevice(const TcmuDevice&) = delete;
  TcmuDevice& operator=(const TcmuDevice&) = delete;

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] bool has_direct_io() const noexcept override { return true; }

  [[nodiscard]] std::vector<DeviceUser> users() const override {
    std::vector<DeviceUser> users;
    for (const TargetDisk& disk : find_disks(target_.name)) {
      for (DeviceUser& user : transport::find_device_users(disk.device)) {
        user.text = disk.path() + ": " + user.text;
        users.push_back(std::move(user));
      }
    }
    return users;
  }

  [[nodiscard]] bool has_ended() const override { return end_->wait(std::chrono::milliseconds(0)); }

  [[nodiscard]] int resized() override {
    if (const auto connection = connection_.lock()) connection->tell_of_size();
    return with_disks([](const TargetDisk& disk) {
      return transport::write_text("/sys/class/block/" + disk.name + "/device/rescan", "1");
    });
  }

  [[nodiscard]] int sync() override {
    return with_disks([](const TargetDisk& disk) {
      const UniqueFd file(::open(disk.path().c_str(), O_RDONLY | O_CLOEXEC));
      return file ? transport::sync_block_device(file.get()) : 0;
    });
  }

  CloseResult close(CloseMode mode, std::chrono::milliseconds patience) override {
    CloseResult result;
    const bool is_ours_to_end = *is_removed_ || has_ended();
    if (!is_ours_to_end && mode == CloseMode::kIfUnused) {
      return {.error = -EBUSY, .is_gone = false, .users = all_users()};
    }
    if (mode == CloseMode::kAbort) abort();
    if (is_ours_to_end) pool_->remove(id_);
    result.is_gone = end_->wait(patience);
    if (!result.is_gone) result.users = all_users();
    return result;
  }

  std::optional<CloseResult> leave(std::chrono::milliseconds patience) override {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const Blocked blocked(core_folder(target_.name));
    while (std::chrono::steady_clock::now() < deadline && !is_idle()) {
      std::this_thread::sleep_for(kIdlePause);
    }
    pool_->remove(id_);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    CloseResult result;
    result.is_gone = end_->wait(std::max(left, std::chrono::milliseconds(0)));
    return result;
  }

 private:
  [[nodiscard]] bool is_idle() const {
    const auto connection = connection_.lock();
    return connection == nullptr || connection->is_idle();
  }

  void abort() {
    if (const auto connection = connection_.lock()) connection->abort();
  }

  [[nodiscard]] std::vector<DeviceUser> all_users() const {
    std::vector<DeviceUser> found = users();
    found.push_back({.kind = DeviceUser::Kind::kHolder,
                     .process = 0,
                     .text = "the kernel's target has it as core/" + target_.name.directory() +
                             ": it goes when that directory is removed"});
    return found;
  }

  // In a thread that may wait for the device itself, which must not keep that from ending with us.
  template <typename Work>
  int with_disks(Work work) const {
    return transport::with_own_descriptors([this, work] {
      int error = 0;
      for (const TargetDisk& disk : find_disks(target_.name)) {
        const int result = work(disk);
        if (error == 0) error = result;
      }
      return error;
    });
  }

  std::shared_ptr<transport::ServingPool> pool_;
  Target target_;
  std::string path_;
  std::shared_ptr<std::atomic<bool>> is_removed_;
  std::weak_ptr<TcmuConnection> connection_;
  std::shared_ptr<transport::ConnectionEnd> end_;
  transport::ServingPool::Id id_;
};

// Until it is served its requests wait in the ring.
class TcmuSurvivor final : public transport::Survivor {
 public:
  TcmuSurvivor(std::shared_ptr<TcmuTransport> transport, std::string note)
      : transport_(std::move(transport)),
        path_(uio_path(transport_->target().minor)),
        note_(std::move(note)) {}

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] const std::string& note() const noexcept override { return note_; }
  [[nodiscard]] std::string transport() const override { return transport_->name(); }
  [[nodiscard]] bool is_let_go() const noexcept override { return false; }
  [[nodiscard]] bool is_ours_to_end() const noexcept override { return false; }

  std::unique_ptr<transport::AttachedDevice> serve(std::shared_ptr<transport::BlockDevice> content,
                                                   bool is_read_only) override {
    return transport_->attach(std::move(content), {.name = {}, .is_read_only = is_read_only});
  }

  void abort() noexcept override {
    try {
      transport_->refuse_requests();
    } catch (const transport::TransportError&) {
      // It has ended.
    }
  }

 private:
  std::shared_ptr<TcmuTransport> transport_;
  std::string path_;
  std::string note_;
};

}  // namespace

TcmuTransport::TcmuTransport(std::shared_ptr<transport::ServingPool> pool, Target target,
                             TcmuConnection::Ended ended)
    : pool_(std::move(pool)), target_(std::move(target)), ended_(std::move(ended)) {}

std::unique_ptr<transport::AttachedDevice> TcmuTransport::attach(
    std::shared_ptr<transport::BlockDevice> content, const transport::AttachOptions& options) {
  if (content != nullptr && content->size() < scsi::kBlockBytes) {
    throw transport::TransportError(EINVAL, "the image has no content");
  }
  std::unique_ptr<UioDevice> device;
  {
    const std::lock_guard lock(mutex_);
    device = std::move(claimed_);
  }
  if (device == nullptr) device = std::make_unique<UioDevice>(target_.minor, target_.full_name);
  const std::string folder = core_folder(target_.name);
  std::optional<Blocked> blocked;
  if (target_.is_taken_over) {
    if (content != nullptr && options.is_read_only) check_size(target_.name, *content);
    blocked.emplace(folder);
    send_again(folder, *blocked);
  }
  const auto connection = std::make_shared<TcmuConnection>(
      std::move(device), std::move(content),
      scsi::Identity{.serial = serial_of(target_.name), .is_read_only = options.is_read_only},
      ended_);
  return std::make_unique<TcmuDevice>(pool_, target_, is_removed_, connection);
}

void TcmuTransport::claim() {
  auto device = std::make_unique<UioDevice>(target_.minor, target_.full_name);
  const std::lock_guard lock(mutex_);
  claimed_ = std::move(device);
}

void TcmuTransport::refuse_requests() {
  auto refusing = attach(nullptr, {});
  const std::lock_guard lock(mutex_);
  refusing_ = std::move(refusing);
}

void TcmuTransport::end_refusing() noexcept {
  const std::lock_guard lock(mutex_);
  refusing_.reset();
}

std::unique_ptr<transport::Survivor> survivor_of(std::shared_ptr<TcmuTransport> transport,
                                                 std::string note) {
  return std::make_unique<TcmuSurvivor>(std::move(transport), std::move(note));
}

}  // namespace varve::tcmu
