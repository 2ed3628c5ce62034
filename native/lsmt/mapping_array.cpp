#include "lsmt/mapping_array.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

namespace varve::lsmt {

MappingArray::MappingArray(std::size_t capacity) {
  if (capacity > std::numeric_limits<std::size_t>::max() / 4 / sizeof(Mapping)) {
    throw std::bad_alloc();
  }
  memory_.reset(static_cast<Mapping*>(allocate_lines((capacity + kPadding) * sizeof(Mapping))));
  pad();
}

void MappingArray::grow(std::size_t capacity) {
  MappingArray larger(capacity);
  std::copy(begin(), end(), larger.fill(size_).begin());
  *this = std::move(larger);
}

void MappingArray::pad() noexcept {
  for (std::size_t at = 0; at < kPadding; ++at) new (&memory_[size_ + at]) Mapping();
}

}  // namespace varve::lsmt
