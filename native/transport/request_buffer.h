// The memory of one serving thread: a request is read into it and its reply is written from it. It
// is touched, and locked where that is allowed, before the first request: a page fault while a
// reply is copied would fail the request, and one during writeback could need the very device that
// it serves.
//
// It also says how far the thread is. Where it lies in a file that outlives the process, a successor
// answers the request that the process died over: what is only taken it carries out, what was carried
// out it answers as was going to be answered. A reply that is larger than kSmallReplyBytes is that of
// a read, which may be carried out again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "holder/parking.h"
#include "syscalls/unique_fd.h"

namespace varve::transport {

class RequestBuffer {
 public:
  // The most that one request carries.
  static constexpr std::size_t kPayloadBytes = std::size_t{1} << 20;
  // What lies before the payload of a write: the header and the write's own fields.
  static constexpr std::size_t kWriteHeaderBytes = 80;
  static constexpr std::size_t kSmallReplyBytes = 256;

  RequestBuffer();
  // In a file that is parked for as long as the object lives. Throws std::system_error.
  explicit RequestBuffer(holder::ParkedPlace place);
  // That of a predecessor; throws std::system_error for a file that is none.
  RequestBuffer(holder::ParkedPlace place, UniqueFd file);
  ~RequestBuffer();
  // Leaves it parked, for whoever comes after this process.
  void leave() noexcept { place_.leave(); }
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
  // `header_bytes` right before the payload and `payload_bytes` of it, as one piece. It lies over the
  // request.
  [[nodiscard]] std::span<std::byte> reply(std::size_t header_bytes,
                                           std::size_t payload_bytes) const noexcept {
    return {base_ + kPageBytes - header_bytes, header_bytes + payload_bytes};
  }
  // Beside the request, which stays as it is.
  [[nodiscard]] std::span<std::byte> small_reply() const noexcept {
    return {base_ + kSmallReplyOffset, kSmallReplyBytes};
  }

  enum class State : std::uint32_t {
    kFree = 0,
    kReading = 1,   // the kernel may have put a request here
    kTaken = 2,     // it has
    kExecuted = 3,  // and the small reply is the answer to it
  };
  // `connection` names whose request it will be, for the successor.
  void begin_reading(std::uint64_t connection) const noexcept;
  void taken(std::size_t request_bytes) const noexcept;
  void executed(std::size_t small_reply_bytes) const noexcept;
  void free() const noexcept;

  // What the process before has left: the request's bytes where it was taken and not carried out, the
  // reply where it was. Both are empty where nothing is left to do for that connection.
  struct Left {
    std::size_t request_bytes = 0;
    std::span<const std::byte> reply{};
  };
  [[nodiscard]] Left left_of(std::uint64_t connection) const noexcept;

 private:
  struct Record {
    std::atomic<std::uint32_t> state;
    std::uint32_t reply_bytes;
    std::uint64_t connection;
    std::uint64_t request_bytes;
  };
  static constexpr std::size_t kPageBytes = 4096;
  static constexpr std::size_t kBytes = kPageBytes + kPayloadBytes;
  static constexpr std::size_t kSmallReplyOffset = 512;
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
  static_assert(sizeof(Record) <= kSmallReplyOffset);

  void map(int file);
  [[nodiscard]] Record& record() const noexcept { return *reinterpret_cast<Record*>(base_); }
  // Of the request that lies here; 0 as long as there is none.
  [[nodiscard]] std::uint32_t told_bytes() const noexcept;

  UniqueFd file_;
  holder::ParkedPlace place_;  // goes first
  std::byte* base_ = nullptr;
};

}  // namespace varve::transport
