// Memory of an index: whole lines of the processor's cache, and where it is large, huge pages.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace varve::lsmt {

inline constexpr std::size_t kCacheLine = 64;

// Throws std::bad_alloc. Not initialised.
[[nodiscard]] void* allocate_lines(std::size_t bytes);

struct ReleaseLines {
  void operator()(void* memory) const noexcept { std::free(memory); }
};

}  // namespace varve::lsmt
