// The UIO device of a TCMU device: over it the kernel shares the ring and tells of commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"

namespace varve::tcmu {

// The numbers of those that there are now.
std::vector<std::uint32_t> uio_minors();
// What the kernel calls the device behind it, as in its messages; empty if it is gone.
std::string uio_target(std::uint32_t minor);
std::string uio_path(std::uint32_t minor);

class UioDevice {
 public:
  // Opens it and maps what it shares; the kernel lets only one process have it open. It must be
  // that of `target`. Throws transport::TransportError.
  UioDevice(std::uint32_t minor, const std::string& target);
  ~UioDevice();
  UioDevice(const UioDevice&) = delete;
  UioDevice& operator=(const UioDevice&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return device_.get(); }
  [[nodiscard]] std::span<std::byte> memory() const noexcept { return memory_; }

  enum class Heard { kNews, kNothing, kEnd };
  // Takes note of what the kernel told until now. Never blocks.
  [[nodiscard]] Heard listen() const noexcept;
  // Tells the kernel to look for answers.
  void tell() const noexcept;

 private:
  UniqueFd device_;
  std::span<std::byte> memory_;
};

}  // namespace varve::tcmu
