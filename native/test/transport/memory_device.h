// A block device in memory, with faults to order: blocks that cannot be read or written, and reads
// that wait until they are let go.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <vector>

#include "transport/block_device.h"

namespace varve::test {

class MemoryDevice : public transport::BlockDevice {
 public:
  explicit MemoryDevice(std::size_t bytes) : content_(bytes) {}

  [[nodiscard]] std::uint64_t size() const noexcept override;
  int read(std::span<std::byte> destination, std::uint64_t offset) noexcept override;
  int write(std::span<const std::byte> source, std::uint64_t offset) noexcept override;
  int discard(std::uint64_t offset, std::uint64_t length) noexcept override;
  int write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept override;
  int flush() noexcept override;

  // Every read or write that touches these bytes answers `error`.
  void break_range(std::uint64_t offset, std::uint64_t length, int error = -5);
  void resize(std::size_t bytes);
  void stall_reads();
  void let_reads_go();
  // Whether so many reads wait within a time that only a hang exceeds.
  [[nodiscard]] bool wait_for_stalled(unsigned count);

  [[nodiscard]] std::vector<std::byte> content() const;
  void fill(std::span<const std::byte> content);

  std::atomic<std::uint64_t> write_count = 0;
  std::atomic<std::uint64_t> flush_count = 0;
  std::atomic<std::uint64_t> discarded_bytes = 0;
  std::atomic<std::uint64_t> zeroed_bytes = 0;
  std::atomic<std::size_t> largest_read_bytes = 0;

 private:
  [[nodiscard]] int error_at(std::uint64_t offset, std::uint64_t length) const noexcept;
  void clear(std::uint64_t offset, std::uint64_t length) noexcept;

  mutable std::shared_mutex content_mutex_;
  std::vector<std::byte> content_;
  std::uint64_t broken_offset_ = 0;
  std::uint64_t broken_length_ = 0;
  int broken_error_ = 0;

  std::mutex stall_mutex_;
  std::condition_variable stall_changed_;
  bool is_stalling_ = false;
  unsigned stalled_count_ = 0;
};

}  // namespace varve::test
