#include "lsmt/mapping_array.h"

#include <sys/mman.h>

#include <cstdlib>
#include <limits>
#include <new>

namespace varve::lsmt {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

MappingArray::MappingArray(std::size_t capacity) {
  if (capacity > std::numeric_limits<std::size_t>::max() / 4 / sizeof(Mapping)) {
    throw std::bad_alloc();
  }
  // The last block, and one more: a lookup reads up to three mappings behind the one it found.
  const std::size_t bytes = (round_up(capacity, kBlock) + kBlock) * sizeof(Mapping);
  // A large index is looked up all over: with small pages most of the time would go to the tables.
  const bool is_large = bytes >= kHugePage;
  const std::size_t alignment = is_large ? kHugePage : kBlock * sizeof(Mapping);
  const std::size_t rounded = round_up(bytes, alignment);
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  if (is_large) static_cast<void>(::madvise(memory, rounded, MADV_HUGEPAGE));
  memory_.reset(static_cast<Mapping*>(memory));
  pad();
}

void MappingArray::Release::operator()(Mapping* memory) const noexcept { std::free(memory); }

void MappingArray::pad() noexcept {
  const std::size_t padded = round_up(size_, kBlock) + kBlock;
  for (std::size_t at = size_; at < padded; ++at) new (&memory_[at]) Mapping();
}

}  // namespace varve::lsmt
