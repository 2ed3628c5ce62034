#include "scsi/data_area.h"

#include <algorithm>
#include <cstring>

#include "io/bus_guard.h"
#include "io/bytes.h"

namespace varve::scsi {

void DataArea::add(std::span<std::byte> piece) {
  if (piece.empty()) return;
  if (!pieces_.empty() && pieces_.back().data() + pieces_.back().size() == piece.data()) {
    pieces_.back() = {pieces_.back().data(), pieces_.back().size() + piece.size()};
  } else {
    pieces_.push_back(piece);
  }
  size_ += piece.size();
}

void DataArea::clear() noexcept {
  pieces_.clear();
  size_ = 0;
}

template <typename Visit>
bool DataArea::visit(std::uint64_t offset, std::uint64_t length, Visit work) const noexcept {
  if (!io::is_within(offset, length, size_)) return false;
  struct Context {
    const DataArea& area;
    std::uint64_t offset;
    std::uint64_t length;
    Visit& work;
  } context{*this, offset, length, work};
  return io::run_guarded(
      [](void* given) {
        auto& [area, skip, left, visit_part] = *static_cast<Context*>(given);
        std::uint64_t done = 0;
        for (const std::span<std::byte> piece : area.pieces_) {
          if (left == 0) return;
          if (skip >= piece.size()) {
            skip -= piece.size();
            continue;
          }
          const std::size_t count = std::min<std::uint64_t>(piece.size() - skip, left);
          visit_part(piece.subspan(skip, count), done);
          done += count;
          left -= count;
          skip = 0;
        }
      },
      &context);
}

bool DataArea::get(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  return visit(offset, destination.size(), [&](std::span<std::byte> part, std::uint64_t done) {
    std::memcpy(destination.data() + done, part.data(), part.size());
  });
}

bool DataArea::put(std::span<const std::byte> source, std::uint64_t offset) noexcept {
  return visit(offset, source.size(), [&](std::span<std::byte> part, std::uint64_t done) {
    std::memcpy(part.data(), source.data() + done, part.size());
  });
}

bool DataArea::put_zeros(std::uint64_t offset) noexcept {
  if (offset >= size_) return true;
  return visit(offset, size_ - offset, [](std::span<std::byte> part, std::uint64_t /*done*/) {
    std::memset(part.data(), 0, part.size());
  });
}

}  // namespace varve::scsi
