// The content of a block device: what a transport presents to the kernel. Every call may come from
// several threads at once, blocks until it is done, and answers 0 or a negative errno. A transport
// checks ranges before it calls: they lie inside of the size and are not empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace varve::transport {

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  // In bytes, a multiple of 512. A change shows once AttachedDevice::resized was called.
  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;

  // Fills all of `destination`; after an error its content is unspecified and goes nowhere.
  [[nodiscard]] virtual int read(std::span<std::byte> destination,
                                 std::uint64_t offset) noexcept = 0;

  // The following are not called on a device that is attached read-only.
  [[nodiscard]] virtual int write(std::span<const std::byte> source,
                                  std::uint64_t offset) noexcept = 0;
  // The range's space may be given back. It reads as zeros from then on: a loop device passes on
  // the kernel's write-zeroes, where they may free space, as this, too.
  [[nodiscard]] virtual int discard(std::uint64_t offset, std::uint64_t length) noexcept = 0;
  // The range reads as zeros from then on, and a later write to it must not lack space.
  [[nodiscard]] virtual int write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept = 0;
  // Makes every write that was answered before durable.
  [[nodiscard]] virtual int flush() noexcept = 0;
};

}  // namespace varve::transport
