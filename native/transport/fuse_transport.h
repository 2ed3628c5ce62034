// The transport that works on any Linux with FUSE and loop devices: each device is a FUSE
// connection of its own, and a loop device on that connection's one file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "holder/holder_client.h"
#include "syscalls/unique_fd.h"
#include "transport/fuse_device.h"
#include "transport/serving_pool.h"
#include "transport/transport.h"

namespace varve::transport {

class FuseTransport : public Transport {
 public:
  // Opens /dev/fuse for a device of that name; another process may do it and hand the descriptor
  // over. Throws TransportError. Called from the thread that attaches.
  using OpenFuse = std::function<UniqueFd(const std::string& name)>;

  // The pool outlives the transport, the devices may outlive both. With a holder, which outlives all
  // of them, devices outlive the process; the pool's threads have parked_buffers() then.
  explicit FuseTransport(std::shared_ptr<ServingPool> pool, OpenFuse open = {},
                         holder::HolderClient* holder = nullptr, bool uses_resend = true);

  [[nodiscard]] std::string name() const override { return kName; }
  static constexpr const char* kName = "fuse";
  [[nodiscard]] std::vector<std::string> lacking() const override;
  std::unique_ptr<AttachedDevice> attach(std::shared_ptr<BlockDevice> content,
                                         const AttachOptions& options) override;
  [[nodiscard]] bool outlives_process() const noexcept override {
    return holder_ != nullptr && holder_->is_connected();
  }
  [[nodiscard]] std::vector<std::unique_ptr<Survivor>> survivors() override;

 private:
  [[nodiscard]] FuseSurroundings around() const { return {pool_, holder_, uses_resend_}; }

  std::shared_ptr<ServingPool> pool_;
  OpenFuse open_;
  holder::HolderClient* holder_;
  bool uses_resend_;
};

// Makes memory for serving threads that a successor of this process can read.
std::function<std::unique_ptr<RequestBuffer>()> parked_buffers(holder::Parking& parking);

}  // namespace varve::transport
