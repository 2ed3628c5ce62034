// The control device of ublk: devices are added, started, stopped and deleted, each by a command.
#pragma once

#include <cstdint>
#include <vector>

#include "syscalls/unique_fd.h"
#include "ublk/protocol.h"
#include "ublk/ring.h"

namespace varve::ublk {

// For one thread at a time.
class Control {
 public:
  // Throws transport::TransportError.
  Control();

  // Each answers 0 or a negative errno.
  [[nodiscard]] int features(std::uint64_t& features) noexcept;
  // `info` is what the device is to be, and then what it has become.
  [[nodiscard]] int add(DeviceInfo& info) noexcept;
  [[nodiscard]] int info(std::uint32_t device, DeviceInfo& info) noexcept;
  [[nodiscard]] int set_parameters(std::uint32_t device, const Parameters& parameters) noexcept;
  // Waits until the queue's commands have been fetched.
  [[nodiscard]] int start(std::uint32_t device) noexcept;
  // Users of the device get EIO from then on.
  [[nodiscard]] int stop(std::uint32_t device) noexcept;
  // Its number is free once nobody has it open any more.
  [[nodiscard]] int remove(std::uint32_t device) noexcept;
  // -EBUSY while its last daemon still ends.
  [[nodiscard]] int start_recovery(std::uint32_t device) noexcept;
  [[nodiscard]] int end_recovery(std::uint32_t device) noexcept;
  [[nodiscard]] int update_size(std::uint32_t device, std::uint64_t sectors) noexcept;

 private:
  [[nodiscard]] int run(std::uint32_t operation, const ControlCommand& command) noexcept;

  UniqueFd file_;
  Ring ring_;
};

// The numbers of all ublk devices of this machine, whoever serves them. Throws TransportError where
// they cannot be listed.
std::vector<std::uint32_t> device_numbers();

}  // namespace varve::ublk
