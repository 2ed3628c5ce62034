#include "ublk/claim.h"

#include <fcntl.h>

#include <cerrno>

#include "syscalls/unique_fd.h"
#include "transport/own_descriptors.h"

namespace varve::ublk {

Claim::Claim(const std::string& path) {
  std::promise<int> opened;
  std::future<int> error = opened.get_future();
  // Whoever closes a device last waits for what the kernel then writes to it, which this process
  // would have to serve: so no other thread has the descriptor.
  ended_ = std::async(std::launch::async,
                      [path, opened = std::move(opened), released = released_.get_future()]() mutable {
                        const transport::OwnDescriptors own;
                        const UniqueFd device(
                            ::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
                        opened.set_value(device ? 0 : errno);
                        released.wait();
                      });
  error_ = error.get();
}

Claim::~Claim() {
  released_.set_value();
  ended_.wait();
}

}  // namespace varve::ublk
