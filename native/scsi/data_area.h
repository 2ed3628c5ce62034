// Where the data of a command lies: pieces of memory, in the order of the data, shared with the
// kernel. It may change under our eyes, and parts of it may not be there: then the calls say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace varve::scsi {

class DataArea {
 public:
  // Pieces that lie behind each other become one. Throws std::bad_alloc.
  void add(std::span<std::byte> piece);
  void clear() noexcept;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // Copies from the area, or into it; false if the range is not in the area, or memory is missing.
  [[nodiscard]] bool get(std::span<std::byte> destination, std::uint64_t offset) const noexcept;
  [[nodiscard]] bool put(std::span<const std::byte> source, std::uint64_t offset) noexcept;
  // From `offset` to the end.
  [[nodiscard]] bool put_zeros(std::uint64_t offset) noexcept;

 private:
  template <typename Visit>
  bool visit(std::uint64_t offset, std::uint64_t length, Visit work) const noexcept;

  std::vector<std::span<std::byte>> pieces_;
  std::uint64_t size_ = 0;
};

}  // namespace varve::scsi
