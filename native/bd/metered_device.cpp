#include "bd/metered_device.h"

#include <chrono>

namespace varve::bd {

template <typename Call>
int MeteredDevice::counted(Counted kind, const io::ByteRange& range, Call call) noexcept {
  const auto begin = std::chrono::steady_clock::now();
  const int error = call();
  const auto duration = std::chrono::steady_clock::now() - begin;
  const auto duration_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
  metrics_->count(kind, range.length, static_cast<std::uint64_t>(duration_ns), error != 0);
  if (error != 0) listener_->request_failed(kind, range, error);
  return error;
}

template <typename Call>
int MeteredDevice::change(Counted kind, const io::ByteRange& range, Call call) noexcept {
  return counted(kind, range, [&] {
    gate_.enter();
    const int error = call();
    if (error != 0) change_error_ = error;
    gate_.leave();
    return error;
  });
}

int MeteredDevice::read(std::span<std::byte> destination, std::uint64_t offset) noexcept {
  return counted(Counted::kRead, {offset, destination.size()},
                 [&] { return image_->read(destination, offset); });
}

int MeteredDevice::write(std::span<const std::byte> source, std::uint64_t offset) noexcept {
  return change(Counted::kWrite, {offset, source.size()},
                [&] { return image_->write(source, offset); });
}

int MeteredDevice::discard(std::uint64_t offset, std::uint64_t length) noexcept {
  return change(Counted::kDiscard, {offset, length},
                [&] { return image_->discard(offset, length); });
}

int MeteredDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept {
  return change(Counted::kWriteZeroes, {offset, length},
                [&] { return image_->write_zeroes(offset, length); });
}

int MeteredDevice::flush() noexcept {
  return counted(Counted::kFlush, {}, [&] { return image_->flush(); });
}

}  // namespace varve::bd
