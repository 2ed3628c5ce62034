// What a request of the kernel does to the content of a device. Bytes alone: the data are moved by
// whoever calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "transport/block_device.h"
#include "ublk/protocol.h"

namespace varve::ublk {

// What the kernel is told of a device before it starts it.
Parameters parameters_of(std::uint64_t size_bytes, bool is_read_only,
                         std::uint32_t block_size_bytes, std::uint32_t request_bytes_max);

// Moves the data of one request. Answers 0 or a negative errno.
class DataMover {
 public:
  virtual ~DataMover() = default;
  [[nodiscard]] virtual int take(std::span<std::byte> destination) noexcept = 0;
  [[nodiscard]] virtual int give(std::span<const std::byte> source) noexcept = 0;
};

// The result for the kernel: bytes of a read or write, 0 of what has none, or a negative errno.
// What makes no sense is -EINVAL, and what does not lie inside of the content -EIO.
[[nodiscard]] std::int32_t carry_out(const IoDescriptor& request,
                                     transport::BlockDevice& content, bool is_read_only,
                                     std::span<std::byte> memory, DataMover& mover) noexcept;

}  // namespace varve::ublk
