// The socket on which the kernel tells of TCMU devices.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"
#include "tcmu/messages.h"

namespace varve::tcmu {

class NetlinkSocket {
 public:
  // Finds the kernel's family, listens to it and says that its messages get answers. Throws
  // transport::TransportError.
  NetlinkSocket();

  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

  struct Received {
    std::vector<DeviceMessage> devices;
    bool has_missed = false;  // messages were lost
    bool is_empty = false;    // nothing more waits
  };
  // What the kernel has sent, a datagram at a time. Never blocks.
  [[nodiscard]] Received receive();

  // 0 or a negative errno.
  [[nodiscard]] int answer(const DeviceMessage& message, std::int32_t status);

 private:
  [[nodiscard]] int send(const Bytes& message) const noexcept;
  // A datagram of the kernel; nothing for what is from somebody else.
  [[nodiscard]] std::optional<Bytes> read(int& error) const;
  // Sends a request and waits for its acknowledgement.
  void request(const Bytes& message, std::uint32_t sequence, const char* step);

  UniqueFd socket_;
  std::optional<Family> family_;
  std::uint32_t sequence_ = 1;
};

}  // namespace varve::tcmu
