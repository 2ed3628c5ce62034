// The transport that the kernel's own driver for block devices in user space serves: requests come
// by io_uring, and a device waits for the next daemon when its own ends, however it ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/serving_pool.h"
#include "transport/transport.h"
#include "ublk/ublk_device.h"

namespace varve::ublk {

inline constexpr const char* kName = "ublk";

class UblkTransport final : public transport::Transport {
 public:
  // The pool outlives the transport, the devices may outlive both. `directory` is for the notes of
  // this daemon and its successors.
  UblkTransport(std::shared_ptr<transport::ServingPool> pool, const std::string& directory)
      : around_{std::move(pool), Notes(directory)} {}

  [[nodiscard]] std::string name() const override { return kName; }
  [[nodiscard]] std::vector<std::string> lacking() const override;
  [[nodiscard]] bool outlives_process() const noexcept override { return true; }
  std::unique_ptr<transport::AttachedDevice> attach(
      std::shared_ptr<transport::BlockDevice> content,
      const transport::AttachOptions& options) override;
  // Also takes away what a predecessor has left half made.
  [[nodiscard]] std::vector<std::unique_ptr<transport::Survivor>> survivors() override;

 private:
  UblkSurroundings around_;
};

}  // namespace varve::ublk
