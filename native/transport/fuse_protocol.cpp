#include "transport/fuse_protocol.h"

#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace varve::transport {

namespace {

constexpr std::uint32_t kMinorMin = 28;  // sizes of requests are negotiated from here on
constexpr std::uint32_t kPageBytes = 4096;
// Without negotiation the kernel sends at most 32 pages.
constexpr std::uint32_t kUnnegotiatedWriteBytes = 32 * kPageBytes;
constexpr std::uint16_t kBackgroundMax = 256;
constexpr std::uint16_t kCongestionThreshold = 192;
// Attributes change only when we say so.
constexpr std::uint64_t kValidSeconds = std::uint64_t{1} << 31;
// Asks the kernel to send unanswered requests again to a successor; newer than Debian 12's headers.
constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39;

constexpr std::uint64_t kWantedFlags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
                                       FUSE_MAX_PAGES | FUSE_ABORT_ERROR | FUSE_INIT_EXT |
                                       kHasResend;

static_assert(sizeof(fuse_in_header) + sizeof(fuse_write_in) == RequestBuffer::kWriteHeaderBytes);

// The kernel drops a reply with an errno that it does not know, and the request would hang.
int checked_error(int error) noexcept { return error > 0 || error <= -512 ? -EIO : error; }

}  // namespace

struct FuseProtocol::Request {
  const RequestBuffer& buffer;
  fuse_in_header header;
  std::span<const std::byte> body;

  // Copies a structure from the begin of the body; false if the body is too short.
  template <typename Structure>
  [[nodiscard]] bool get(Structure& structure) const noexcept {
    if (body.size() < sizeof structure) return false;
    std::memcpy(&structure, body.data(), sizeof structure);
    return true;
  }

  [[nodiscard]] std::span<const std::byte> done() const noexcept { return small(0, {}); }

  // The reply that holds `payload_bytes` of the payload.
  [[nodiscard]] std::span<const std::byte> done_with_payload(
      std::size_t payload_bytes) const noexcept {
    return filled(buffer.reply(sizeof(fuse_out_header), payload_bytes), 0);
  }

  [[nodiscard]] std::span<const std::byte> failed(int error) const noexcept {
    return small(checked_error(error), {});
  }

  // 0 or a negative errno without anything else.
  [[nodiscard]] std::span<const std::byte> result(int error) const noexcept {
    return failed(error);
  }

  template <typename Structure>
  [[nodiscard]] std::span<const std::byte> done_with(const Structure& structure) const noexcept {
    static_assert(sizeof(fuse_out_header) + sizeof structure <= RequestBuffer::kSmallReplyBytes);
    return small(0, std::as_bytes(std::span(&structure, 1)));
  }

 private:
  [[nodiscard]] std::span<const std::byte> small(int error,
                                                 std::span<const std::byte> more) const noexcept {
    const std::span<std::byte> bytes =
        buffer.small_reply().first(sizeof(fuse_out_header) + more.size());
    std::copy(more.begin(), more.end(), bytes.begin() + sizeof(fuse_out_header));
    return filled(bytes, error);
  }

  // With the header at its begin.
  [[nodiscard]] std::span<const std::byte> filled(std::span<std::byte> bytes,
                                                  int error) const noexcept {
    fuse_out_header out = {};
    out.len = static_cast<std::uint32_t>(bytes.size());
    out.error = error;
    out.unique = header.unique;
    std::memcpy(bytes.data(), &out, sizeof out);
    return bytes;
  }
};

std::span<const std::byte> FuseProtocol::answer(const RequestBuffer& buffer,
                                                std::size_t request_bytes) noexcept {
  const std::span<const std::byte> bytes = buffer.request();
  fuse_in_header header = {};
  if (request_bytes < sizeof header || request_bytes > bytes.size()) return {};
  std::memcpy(&header, bytes.data(), sizeof header);
  const Request request = {buffer, header,
                           bytes.subspan(sizeof header, request_bytes - sizeof header)};
  if (header.len != request_bytes) return request.failed(-EIO);
  return dispatch(request);
}

std::span<const std::byte> FuseProtocol::dispatch(const Request& request) noexcept {
  switch (request.header.opcode) {
    case FUSE_INIT:
      return init(request);
    case FUSE_DESTROY:
      return request.done();
    // These three want no reply. An interrupt only asks for haste: its request is answered as
    // usual.
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return {};
    default:
      break;
  }
  if (request.header.nodeid != FUSE_ROOT_ID) return request.failed(-ESTALE);
  switch (request.header.opcode) {
    case FUSE_GETATTR:
      return attributes(request);
    case FUSE_OPEN: {
      fuse_open_out out = {};
      out.open_flags = FOPEN_KEEP_CACHE;
      return request.done_with(out);
    }
    case FUSE_READ:
      return read(request);
    case FUSE_WRITE:
      return write(request);
    case FUSE_FALLOCATE:
      return allocate(request);
    case FUSE_FSYNC:
      return request.result(is_read_only_ ? 0 : content_.flush());
    case FUSE_STATFS:
      return statistics(request);
    case FUSE_RELEASE:
      return request.done();
    default:
      return request.failed(-ENOSYS);
  }
}

std::span<const std::byte> FuseProtocol::init(const Request& request) noexcept {
  // Older kernels send less than the whole structure.
  fuse_init_in in = {};
  constexpr std::size_t bytes_min = offsetof(fuse_init_in, flags2);
  if (request.body.size() < bytes_min) return request.failed(-EIO);
  std::memcpy(&in, request.body.data(), std::min(request.body.size(), sizeof in));
  fuse_init_out out = {};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  // A newer kernel asks again when it sees our version.
  if (in.major > FUSE_KERNEL_VERSION) return request.done_with(out);
  if (in.major < FUSE_KERNEL_VERSION || in.minor < kMinorMin) return request.failed(-EPROTO);
  out.minor = std::min(out.minor, in.minor);
  std::uint64_t offered = in.flags;
  if ((in.flags & FUSE_INIT_EXT) != 0) offered |= static_cast<std::uint64_t>(in.flags2) << 32;
  const std::uint64_t flags =
      offered & (wants_resend_ ? kWantedFlags : kWantedFlags & ~kHasResend);
  has_resend_ = (flags & kHasResend) != 0;
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  out.max_readahead = in.max_readahead;
  out.max_background = kBackgroundMax;
  out.congestion_threshold = kCongestionThreshold;
  out.time_gran = 1;
  if ((flags & FUSE_MAX_PAGES) != 0) {
    out.max_write = RequestBuffer::kPayloadBytes;
    out.max_pages = RequestBuffer::kPayloadBytes / kPageBytes;
  } else {
    out.max_write = kUnnegotiatedWriteBytes;
  }
  return request.done_with(out);
}

std::span<const std::byte> FuseProtocol::attributes(const Request& request) noexcept {
  fuse_attr_out out = {};
  out.attr_valid = kValidSeconds;
  out.attr.ino = FUSE_ROOT_ID;
  out.attr.size = content_.size();
  out.attr.blocks = out.attr.size / 512;
  out.attr.blksize = kPageBytes;
  out.attr.nlink = 1;
  out.attr.mode = S_IFREG | (is_read_only_ ? 0400U : 0600U);
  return request.done_with(out);
}

std::span<const std::byte> FuseProtocol::read(const Request& request) noexcept {
  fuse_read_in in = {};
  if (!request.get(in)) return request.failed(-EIO);
  if (in.size > RequestBuffer::kPayloadBytes) return request.failed(-EINVAL);
  // The kernel's page cache asks for whole pages, past the end, too.
  const std::uint64_t size = content_.size();
  if (in.offset >= size) return request.done();
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(in.size, size - in.offset));
  if (length == 0) return request.done();
  const int error = content_.read(request.buffer.payload().first(length), in.offset);
  return error == 0 ? request.done_with_payload(length) : request.failed(error);
}

std::span<const std::byte> FuseProtocol::write(const Request& request) noexcept {
  fuse_write_in in = {};
  if (!request.get(in)) return request.failed(-EIO);
  const std::span<const std::byte> source = request.body.subspan(sizeof in);
  if (in.size != source.size()) return request.failed(-EIO);
  if (is_read_only_) return request.failed(-EROFS);
  if (!is_inside(in.offset, in.size)) return request.failed(-ENOSPC);
  if (const int error = content_.write(source, in.offset); error != 0) {
    return request.failed(error);
  }
  fuse_write_out out = {};
  out.size = in.size;
  return request.done_with(out);
}

std::span<const std::byte> FuseProtocol::allocate(const Request& request) noexcept {
  fuse_fallocate_in in = {};
  if (!request.get(in)) return request.failed(-EIO);
  if (is_read_only_) return request.failed(-EROFS);
  if (!is_inside(in.offset, in.length)) return request.failed(-EINVAL);
  switch (in.mode & ~static_cast<std::uint32_t>(FALLOC_FL_KEEP_SIZE)) {
    case FALLOC_FL_PUNCH_HOLE:
      return request.result(content_.discard(in.offset, in.length));
    case FALLOC_FL_ZERO_RANGE:
      return request.result(content_.write_zeroes(in.offset, in.length));
    default:
      // ENOSYS would end all of these calls, the known ones, too.
      return request.failed(-EOPNOTSUPP);
  }
}

std::span<const std::byte> FuseProtocol::statistics(const Request& request) noexcept {
  // The loop device takes its granularity of discards from here, and offers none without an answer.
  fuse_statfs_out out = {};
  out.st.bsize = kPageBytes;
  out.st.frsize = kPageBytes;
  out.st.blocks = content_.size() / kPageBytes;
  out.st.namelen = 255;
  return request.done_with(out);
}

bool FuseProtocol::is_inside(std::uint64_t offset, std::uint64_t length) const noexcept {
  const std::uint64_t size = content_.size();
  return length != 0 && offset < size && length <= size - offset;
}

}  // namespace varve::transport
