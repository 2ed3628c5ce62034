#include "transport/request_buffer.h"

#include <sys/mman.h>

#include <new>

namespace varve::transport {

RequestBuffer::RequestBuffer() {
  constexpr std::size_t bytes = kPageBytes + kPayloadBytes;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Refused where the limit of locked memory is small; the pages are there all the same.
  static_cast<void>(::mlock(memory, bytes));
  base_ = static_cast<std::byte*>(memory);
}

RequestBuffer::~RequestBuffer() { ::munmap(base_, kPageBytes + kPayloadBytes); }

}  // namespace varve::transport
