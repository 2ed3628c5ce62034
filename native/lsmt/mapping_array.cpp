#include "lsmt/mapping_array.h"

#include <limits>
#include <new>

namespace varve::lsmt {

MappingArray::MappingArray(std::size_t capacity) {
  if (capacity > std::numeric_limits<std::size_t>::max() / 4 / sizeof(Mapping)) {
    throw std::bad_alloc();
  }
  memory_.reset(static_cast<Mapping*>(allocate_lines((capacity + kPadding) * sizeof(Mapping))));
  pad();
}

void MappingArray::pad() noexcept {
  for (std::size_t at = 0; at < kPadding; ++at) new (&memory_[size_ + at]) Mapping();
}

}  // namespace varve::lsmt
