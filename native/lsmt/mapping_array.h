// The memory of an index: mappings side by side, so that a file's entries are read straight into it,
// and behind them padding, so that a lookup need not ask where they end.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "lsmt/large_memory.h"
#include "lsmt/mapping.h"

namespace varve::lsmt {

class MappingArray {
 public:
  // A lookup looks at three mappings at once, which may begin behind the last one.
  static constexpr std::size_t kPadding = 3;

  MappingArray() : MappingArray(0) {}
  // Empty, with room for `capacity`; throws std::bad_alloc.
  explicit MappingArray(std::size_t capacity);

  [[nodiscard]] const Mapping* data() const noexcept { return memory_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] const Mapping& operator[](std::size_t at) const noexcept { return memory_[at]; }
  [[nodiscard]] Mapping& operator[](std::size_t at) noexcept { return memory_[at]; }
  [[nodiscard]] const Mapping* begin() const noexcept { return data(); }
  [[nodiscard]] const Mapping* end() const noexcept { return data() + size_; }

  // Within the capacity, which is the caller's to know.
  void push_back(const Mapping& mapping) noexcept { memory_[size_++] = mapping; }
  // The room that `count` mappings take, to be filled from outside; they count from now on.
  [[nodiscard]] std::span<Mapping> fill(std::size_t count) noexcept {
    size_ = count;
    return {memory_.get(), count};
  }
  // Makes room for `capacity`, which is not less than there was.
  void grow(std::size_t capacity);
  void shrink(std::size_t size) noexcept { size_ = size; }
  // Writes the padding behind the last mapping. Call it when the content is complete.
  void pad() noexcept;

 private:
  std::unique_ptr<Mapping[], ReleaseLines> memory_;
  std::size_t size_ = 0;
};

}  // namespace varve::lsmt
