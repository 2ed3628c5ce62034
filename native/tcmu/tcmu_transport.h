// Serves one device of the kernel's target, which is there already: whoever configured it waits for
// a content. Its disk, if it has one, comes and goes by the kernel's configuration alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "tcmu/target_name.h"
#include "tcmu/tcmu_connection.h"
#include "tcmu/uio_device.h"
#include "transport/serving_pool.h"
#include "transport/transport.h"

namespace varve::tcmu {

struct Target {
  std::uint32_t minor = 0;  // of its UIO device
  std::string full_name;    // as the kernel calls it
  TargetName name;
  // Whether another process served it before: what that has left undone is given back.
  bool is_taken_over = false;
};

class TcmuTransport final : public transport::Transport {
 public:
  // The pool outlives the devices, which may outlive this.
  TcmuTransport(std::shared_ptr<transport::ServingPool> pool, Target target,
                TcmuConnection::Ended ended);

  [[nodiscard]] std::string name() const override { return "tcmu"; }
  // Opens the ring of a device that is there, which nobody else has from then on. Throws
  // TransportError, with EBUSY if somebody else serves it.
  void claim();
  // For once. Without a content requests are answered with errors. Throws TransportError.
  std::unique_ptr<transport::AttachedDevice> attach(
      std::shared_ptr<transport::BlockDevice> content,
      const transport::AttachOptions& options) override;

  // The kernel takes the device away: from now on a close ends it.
  void set_removed() noexcept { *is_removed_ = true; }
  // From now on its requests are answered with errors. Throws TransportError.
  void refuse_requests();
  // Until then.
  void end_refusing() noexcept;
  [[nodiscard]] const Target& target() const noexcept { return target_; }

 private:
  std::shared_ptr<transport::ServingPool> pool_;
  Target target_;
  TcmuConnection::Ended ended_;
  std::shared_ptr<std::atomic<bool>> is_removed_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;  // for what follows
  std::unique_ptr<UioDevice> claimed_;
  std::unique_ptr<transport::AttachedDevice> refusing_;
};

// A device that another process has served before, with the note of whoever serves it now.
[[nodiscard]] std::unique_ptr<transport::Survivor> survivor_of(
    std::shared_ptr<TcmuTransport> transport, std::string note);

}  // namespace varve::tcmu
