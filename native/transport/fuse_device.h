// A device of the fuse transport: a loop device on the one file of a FUSE connection.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "holder/parking.h"
#include "transport/fuse_connection.h"
#include "transport/fuse_mount.h"
#include "transport/fuse_record.h"
#include "transport/loop_device.h"
#include "transport/serving_pool.h"
#include "transport/transport.h"

namespace varve::transport {

// What devices are made with.
struct FuseSurroundings {
  std::shared_ptr<ServingPool> pool;
  holder::Parking* parking = nullptr;  // null: devices end with this process
  // Whether the kernel, where it can, is asked for the requests that a predecessor died over; their
  // memory serves as well.
  bool uses_resend = true;
};

// The requests that a predecessor died over, of all of its devices.
using LeftRequests = std::vector<std::unique_ptr<RequestBuffer>>;

// What a predecessor has left of one device.
struct LeftDevice {
  FuseRecord record;
  holder::ParkedPlace place;
  UniqueFd record_file;
  UniqueFd fuse;
  // None of a device that was let go of.
  UniqueFd mount;
  UniqueFd loop;
};

class FuseDevice final : public AttachedDevice {
 public:
  // Throw TransportError; the latter takes nothing out of `left` then.
  FuseDevice(const FuseSurroundings& around, UniqueFd fuse, std::shared_ptr<BlockDevice> content,
             const AttachOptions& options);
  FuseDevice(const FuseSurroundings& around, LeftDevice& left, const LeftRequests& requests,
             std::shared_ptr<BlockDevice> content);
  ~FuseDevice() override { let_go(); }
  FuseDevice(const FuseDevice&) = delete;
  FuseDevice& operator=(const FuseDevice&) = delete;

  [[nodiscard]] const std::string& path() const noexcept override { return record_.path; }
  [[nodiscard]] bool has_direct_io() const noexcept override { return has_direct_io_; }
  [[nodiscard]] std::vector<DeviceUser> users() const override;
  [[nodiscard]] bool has_ended() const override {
    return end_->wait(std::chrono::milliseconds(0));
  }
  [[nodiscard]] bool outlives_process() const noexcept override {
    return around_.parking != nullptr && around_.parking->process() != 0;
  }
  [[nodiscard]] int resized() override;
  [[nodiscard]] int sync() override;
  CloseResult close(CloseMode mode, std::chrono::milliseconds patience) override;

  // By which a device is parked.
  [[nodiscard]] static std::string place_name(std::uint64_t key);
  static constexpr const char* kPlacePrefix = "device/";

 private:
  // All but those of the mutex belong to the constructors; park() and let_go() need it held.
  void serve(const std::shared_ptr<FuseConnection>& connection);
  void park();
  [[nodiscard]] std::vector<int> loop_descriptors() const;
  void let_go() noexcept;
  void abort() noexcept;
  [[nodiscard]] bool has_loop() const;
  [[nodiscard]] int holding_process() const noexcept;
  [[nodiscard]] std::vector<DeviceUser> lasting_users() const;

  FuseSurroundings around_;
  FuseRecord record_;
  std::weak_ptr<BlockDevice> content_;
  std::weak_ptr<FuseConnection> connection_;
  std::shared_ptr<ConnectionEnd> end_;
  ServingPool::Id id_ = 0;
  bool has_direct_io_ = false;
  std::atomic<bool> is_aborted_ = false;

  mutable std::mutex mutex_;  // for what follows
  std::optional<FuseMount> mount_;
  std::optional<LoopDevice> loop_;
};

}  // namespace varve::transport
