// The memory of one serving thread: a request is read into it and its reply is written from it. It
// is touched, and locked where that is allowed, before the first request: a page fault while a
// reply is copied would fail the request, and one during writeback could need the very device that
// it serves.
#pragma once

#include <cstddef>
#include <span>

namespace varve::transport {

class RequestBuffer {
 public:
  // The most that one request carries.
  static constexpr std::size_t kPayloadBytes = std::size_t{1} << 20;
  // What lies before the payload of a write: the header and the write's own fields.
  static constexpr std::size_t kWriteHeaderBytes = 80;

  RequestBuffer();
  ~RequestBuffer();
  RequestBuffer(const RequestBuffer&) = delete;
  RequestBuffer& operator=(const RequestBuffer&) = delete;

  // Where a request is read to; what a write carries then lies at payload().
  [[nodiscard]] std::span<std::byte> request() const noexcept {
    return {base_ + kPageBytes - kWriteHeaderBytes, kWriteHeaderBytes + kPayloadBytes};
  }
  // Begins at a page's border.
  [[nodiscard]] std::span<std::byte> payload() const noexcept {
    return {base_ + kPageBytes, kPayloadBytes};
  }
  // `header_bytes` (at most a page) right before the payload and `payload_bytes` of it, as one
  // piece.
  [[nodiscard]] std::span<std::byte> reply(std::size_t header_bytes,
                                           std::size_t payload_bytes) const noexcept {
    return {base_ + kPageBytes - header_bytes, header_bytes + payload_bytes};
  }

 private:
  static constexpr std::size_t kPageBytes = 4096;
  std::byte* base_;
};

}  // namespace varve::transport
