#include "transport/request_buffer.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace varve::transport {

namespace {

[[noreturn]] void fail(const char* step) {
  throw std::system_error(errno, std::generic_category(), std::string("request memory: ") + step);
}

}  // namespace

RequestBuffer::RequestBuffer() { map(-1); }

RequestBuffer::RequestBuffer(holder::ParkedPlace place)
    : file_(::memfd_create("varve-request", MFD_CLOEXEC)), place_(std::move(place)) {
  if (!file_) fail("memfd_create");
  if (::ftruncate(file_.get(), static_cast<off_t>(kBytes)) != 0) fail("ftruncate");
  map(file_.get());
  place_.park(std::array{file_.get()});
}

RequestBuffer::RequestBuffer(holder::ParkedPlace place, UniqueFd file)
    : file_(std::move(file)), place_(std::move(place)) {
  struct stat status = {};
  if (::fstat(file_.get(), &status) != 0) fail("fstat");
  if (status.st_size != static_cast<off_t>(kBytes)) {
    // Another version knows what to do with it.
    place_.leave();
    errno = EINVAL;
    fail("its size is another one");
  }
  map(file_.get());
  place_.park(std::array{file_.get()});
}

RequestBuffer::~RequestBuffer() { ::munmap(base_, kBytes); }

void RequestBuffer::map(int file) {
  const int kind = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, kind | MAP_POPULATE, file, 0);
  if (memory == MAP_FAILED) fail("mmap");
  // Refused where the limit of locked memory is small; the pages are there all the same.
  static_cast<void>(::mlock(memory, kBytes));
  base_ = static_cast<std::byte*>(memory);
}

std::uint32_t RequestBuffer::told_bytes() const noexcept {
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, request().data(), sizeof bytes);
  return bytes;
}

void RequestBuffer::begin_reading(std::uint64_t connection) const noexcept {
  // A request begins with its length, and the kernel copies all of it or nothing.
  std::memset(request().data(), 0, sizeof(std::uint32_t));
  record().connection = connection;
  record().state.store(static_cast<std::uint32_t>(State::kReading), std::memory_order_release);
}

void RequestBuffer::taken(std::size_t request_bytes) const noexcept {
  record().request_bytes = request_bytes;
  record().state.store(static_cast<std::uint32_t>(State::kTaken), std::memory_order_release);
}

void RequestBuffer::executed(std::size_t small_reply_bytes) const noexcept {
  record().reply_bytes = static_cast<std::uint32_t>(small_reply_bytes);
  record().state.store(static_cast<std::uint32_t>(State::kExecuted), std::memory_order_release);
}

void RequestBuffer::free() const noexcept {
  record().state.store(static_cast<std::uint32_t>(State::kFree), std::memory_order_release);
}

RequestBuffer::Left RequestBuffer::left_of(std::uint64_t connection) const noexcept {
  const Record& left = record();
  if (left.connection != connection) return {};
  switch (static_cast<State>(left.state.load(std::memory_order_acquire))) {
    case State::kReading: return {.request_bytes = told_bytes()};
    case State::kTaken: return {.request_bytes = left.request_bytes};
    case State::kExecuted:
      if (left.reply_bytes > kSmallReplyBytes) return {};
      return {.reply = small_reply().first(left.reply_bytes)};
    default: return {};
  }
}

}  // namespace varve::transport
