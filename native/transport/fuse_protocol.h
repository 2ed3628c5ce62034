// The kernel's FUSE protocol for a file system that is one regular file, whose content is a
// BlockDevice. No descriptors and no threads here: a request comes in as bytes and the reply goes
// out as bytes. Requests are checked like any input; what this file system does not know gets
// ENOSYS.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transport/block_device.h"
#include "transport/request_buffer.h"

namespace varve::transport {

class FuseProtocol {
 public:
  // `wants_resend`: whether the kernel is to keep unanswered requests for a successor, where it can.
  FuseProtocol(BlockDevice& content, bool is_read_only, bool wants_resend = true) noexcept
      : content_(content), is_read_only_(is_read_only), wants_resend_(wants_resend) {}

  // Carries out the request of `request_bytes` that lies in the buffer; from several threads at
  // once, each with its own buffer. The reply lies in the buffer, too; it is empty for requests
  // that want none and for bytes that are no request.
  [[nodiscard]] std::span<const std::byte> answer(const RequestBuffer& buffer,
                                                  std::size_t request_bytes) noexcept;

  // Whether the kernel sends unanswered requests again when it is asked to; known once it has
  // introduced itself, which comes first.
  [[nodiscard]] bool has_resend() const noexcept { return has_resend_; }

 private:
  struct Request;

  std::span<const std::byte> dispatch(const Request& request) noexcept;
  std::span<const std::byte> init(const Request& request) noexcept;
  std::span<const std::byte> attributes(const Request& request) noexcept;
  std::span<const std::byte> read(const Request& request) noexcept;
  std::span<const std::byte> write(const Request& request) noexcept;
  std::span<const std::byte> allocate(const Request& request) noexcept;
  std::span<const std::byte> statistics(const Request& request) noexcept;
  [[nodiscard]] bool is_inside(std::uint64_t offset, std::uint64_t length) const noexcept;

  BlockDevice& content_;
  bool is_read_only_;
  bool wants_resend_;
  std::atomic<bool> has_resend_ = false;
};

}  // namespace varve::transport
