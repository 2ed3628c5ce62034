#include "test/transport/memory_device.h"

#include <algorithm>
#include <chrono>

namespace varve::test {

std::uint64_t MemoryDevice::size() const noexcept {
  const std::shared_lock lock(content_mutex_);
  return content_.size();
}

int MemoryDevice::read(std::span<std::byte> destination, std::uint64_t offset) noexcept {
  {
    std::unique_lock lock(stall_mutex_);
    if (is_stalling_) {
      ++stalled_count_;
      stall_changed_.notify_all();
      stall_changed_.wait(lock, [this] { return !is_stalling_; });
      --stalled_count_;
    }
  }
  const std::shared_lock lock(content_mutex_);
  largest_read_bytes = std::max<std::size_t>(largest_read_bytes, destination.size());
  if (const int error = error_at(offset, destination.size()); error != 0) return error;
  std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), destination.size(),
              destination.begin());
  return 0;
}

int MemoryDevice::write(std::span<const std::byte> source, std::uint64_t offset) noexcept {
  const std::unique_lock lock(content_mutex_);
  ++write_count;
  if (const int error = error_at(offset, source.size()); error != 0) return error;
  std::copy(source.begin(), source.end(), content_.begin() + static_cast<std::ptrdiff_t>(offset));
  return 0;
}

int MemoryDevice::discard(std::uint64_t offset, std::uint64_t length) noexcept {
  discarded_bytes += length;
  clear(offset, length);
  return 0;
}

int MemoryDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept {
  zeroed_bytes += length;
  clear(offset, length);
  return 0;
}

int MemoryDevice::flush() noexcept {
  ++flush_count;
  return 0;
}

void MemoryDevice::break_range(std::uint64_t offset, std::uint64_t length, int error) {
  const std::unique_lock lock(content_mutex_);
  broken_offset_ = offset;
  broken_length_ = length;
  broken_error_ = error;
}

void MemoryDevice::resize(std::size_t bytes) {
  const std::unique_lock lock(content_mutex_);
  content_.resize(bytes);
}

void MemoryDevice::stall_reads() {
  const std::lock_guard lock(stall_mutex_);
  is_stalling_ = true;
}

void MemoryDevice::let_reads_go() {
  const std::lock_guard lock(stall_mutex_);
  is_stalling_ = false;
  stall_changed_.notify_all();
}

bool MemoryDevice::wait_for_stalled(unsigned count) {
  std::unique_lock lock(stall_mutex_);
  return stall_changed_.wait_for(lock, std::chrono::seconds(10),
                                 [&] { return stalled_count_ >= count; });
}

std::vector<std::byte> MemoryDevice::content() const {
  const std::shared_lock lock(content_mutex_);
  return content_;
}

void MemoryDevice::fill(std::span<const std::byte> content) {
  const std::unique_lock lock(content_mutex_);
  std::copy(content.begin(), content.end(), content_.begin());
}

int MemoryDevice::error_at(std::uint64_t offset, std::uint64_t length) const noexcept {
  const bool is_apart =
      offset + length <= broken_offset_ || broken_offset_ + broken_length_ <= offset;
  return is_apart ? 0 : broken_error_;
}

void MemoryDevice::clear(std::uint64_t offset, std::uint64_t length) noexcept {
  const std::unique_lock lock(content_mutex_);
  std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), length, std::byte{0});
}

}  // namespace varve::test
