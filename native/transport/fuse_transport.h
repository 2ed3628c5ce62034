// The transport that works on any Linux with FUSE and loop devices: each device is a FUSE
// connection of its own, and a loop device on that connection's one file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "syscalls/unique_fd.h"
#include "transport/serving_pool.h"
#include "transport/transport.h"

namespace varve::transport {

class FuseTransport : public Transport {
 public:
  // Opens /dev/fuse for a device of that name; another process may do it and hand the descriptor
  // over. Throws TransportError. Called from the thread that attaches.
  using OpenFuse = std::function<UniqueFd(const std::string& name)>;

  // The pool outlives the transport, the devices may outlive both.
  explicit FuseTransport(std::shared_ptr<ServingPool> pool, OpenFuse open = {});

  [[nodiscard]] std::string name() const override { return "fuse"; }
  [[nodiscard]] std::vector<std::string> lacking() const override;
  std::unique_ptr<AttachedDevice> attach(std::shared_ptr<BlockDevice> content,
                                         const AttachOptions& options) override;

 private:
  std::shared_ptr<ServingPool> pool_;
  OpenFuse open_;
};

}  // namespace varve::transport
