// The content of a device between the transport and the image: counts every request, tells of those
// that fail, and holds writes back while the image must not change.
#pragma once

#include <atomic>
#include <memory>

#include "bd/image.h"
#include "bd/metrics.h"
#include "bd/write_gate.h"

namespace varve::bd {

// Told of requests that failed; called from any thread.
class FailureListener {
 public:
  virtual ~FailureListener() = default;
  virtual void request_failed(Counted kind, const io::ByteRange& range, int error) noexcept = 0;
};

class MeteredDevice final : public transport::BlockDevice {
 public:
  // `listener` outlives this.
  MeteredDevice(std::unique_ptr<Image> image, std::shared_ptr<DeviceMetrics> metrics,
                std::shared_ptr<FailureListener> listener)
      : image_(std::move(image)), metrics_(std::move(metrics)), listener_(std::move(listener)) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return image_->size(); }
  [[nodiscard]] int read(std::span<std::byte> destination, std::uint64_t offset) noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source,
                          std::uint64_t offset) noexcept override;
  [[nodiscard]] int discard(std::uint64_t offset, std::uint64_t length) noexcept override;
  [[nodiscard]] int write_zeroes(std::uint64_t offset, std::uint64_t length) noexcept override;
  [[nodiscard]] int flush() noexcept override;

  [[nodiscard]] Image& image() noexcept { return *image_; }
  [[nodiscard]] WriteGate& gate() noexcept { return gate_; }
  // Negative errno of the newest change that failed; 0 for none. The kernel tells its users EIO,
  // whatever it was.
  [[nodiscard]] int change_error() const noexcept { return change_error_; }

 private:
  template <typename Call>
  int counted(Counted kind, const io::ByteRange& range, Call call) noexcept;
  template <typename Call>
  int change(Counted kind, const io::ByteRange& range, Call call) noexcept;

  std::unique_ptr<Image> image_;
  std::shared_ptr<DeviceMetrics> metrics_;
  std::shared_ptr<FailureListener> listener_;
  WriteGate gate_;
  std::atomic<int> change_error_ = 0;
};

}  // namespace varve::bd
