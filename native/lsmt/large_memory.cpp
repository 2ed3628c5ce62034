#include "lsmt/large_memory.h"

#include <sys/mman.h>

#include <limits>
#include <new>

namespace varve::lsmt {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

void* allocate_lines(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
  // A large index is looked up all over: with small pages most of the time would go to the tables.
  const bool is_large = bytes >= kHugePage;
  const std::size_t alignment = is_large ? kHugePage : kCacheLine;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  if (is_large) static_cast<void>(::madvise(memory, rounded, MADV_HUGEPAGE));
  return memory;
}

}  // namespace varve::lsmt
