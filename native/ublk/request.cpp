#include "ublk/request.h"

#include <bit>
#include <cerrno>

namespace varve::ublk {

namespace {

// 2 GiB: a length in bytes that fits wherever one is kept in 32 bits.
constexpr std::uint32_t kDiscardSectorsMax = std::uint32_t{1} << 22;

std::int32_t read(transport::BlockDevice& content, std::uint64_t offset,
                  std::span<std::byte> memory, DataMover& mover) noexcept {
  if (const int error = content.read(memory, offset); error != 0) return error;
  if (const int error = mover.give(memory); error != 0) return error;
  return static_cast<std::int32_t>(memory.size());
}

std::int32_t write(transport::BlockDevice& content, std::uint64_t offset, bool is_durable,
                   std::span<std::byte> memory, DataMover& mover) noexcept {
  if (const int error = mover.take(memory); error != 0) return error;
  if (const int error = content.write(memory, offset); error != 0) return error;
  if (is_durable) {
    if (const int error = content.flush(); error != 0) return error;
  }
  return static_cast<std::int32_t>(memory.size());
}

}  // namespace

Parameters parameters_of(std::uint64_t size_bytes, bool is_read_only,
                         std::uint32_t block_size_bytes, std::uint32_t request_bytes_max) {
  const auto block_shift = static_cast<std::uint8_t>(std::countr_zero(block_size_bytes));
  Parameters parameters;
  parameters.length = kParametersBytes;
  parameters.kinds = kHasBasic;
  parameters.logical_block_shift = block_shift;
  parameters.physical_block_shift = block_shift;
  parameters.best_request_shift = block_shift;
  parameters.least_request_shift = block_shift;
  parameters.request_sectors_max = request_bytes_max / static_cast<std::uint32_t>(kSectorBytes);
  parameters.size_sectors = size_bytes / kSectorBytes;
  if (is_read_only) {
    parameters.attributes = kReadOnly;
    return parameters;
  }
  parameters.attributes = kVolatileCache | kTakesDurableWrites;
  parameters.kinds |= kHasDiscard;
  parameters.discard_granularity = block_size_bytes;
  parameters.discard_sectors_max = kDiscardSectorsMax;
  parameters.write_zeroes_sectors_max = kDiscardSectorsMax;
  parameters.discard_pieces_max = 1;
  return parameters;
}

std::int32_t carry_out(const IoDescriptor& request, transport::BlockDevice& content,
                       bool is_read_only, std::span<std::byte> memory,
                       DataMover& mover) noexcept {
  const auto operation = static_cast<IoOperation>(request.operation & kOperationMask);
  if (operation == IoOperation::kFlush) return is_read_only ? 0 : content.flush();
  const std::uint64_t length = std::uint64_t{request.sector_count} * kSectorBytes;
  const std::uint64_t sectors = content.size() / kSectorBytes;
  if (length == 0) return -EINVAL;
  if (request.first_sector > sectors || request.sector_count > sectors - request.first_sector) {
    return -EIO;
  }
  const std::uint64_t offset = request.first_sector * kSectorBytes;
  if (operation == IoOperation::kRead) {
    return length > memory.size() ? -EINVAL : read(content, offset, memory.first(length), mover);
  }
  if (is_read_only) return -EROFS;
  switch (operation) {
    case IoOperation::kWrite:
      if (length > memory.size()) return -EINVAL;
      return write(content, offset, (request.operation & kDurable) != 0, memory.first(length),
                   mover);
    case IoOperation::kDiscard: return content.discard(offset, length);
    case IoOperation::kWriteZeroes:
      return (request.operation & kKeepsSpace) != 0 ? content.write_zeroes(offset, length)
                                                    : content.discard(offset, length);
    default: return -EOPNOTSUPP;
  }
}

}  // namespace varve::ublk
