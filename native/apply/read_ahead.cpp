#include "apply/read_ahead.h"

#include <algorithm>
#include <optional>

#include "sha256/sha256.h"

namespace varve::apply {

namespace {

constexpr std::size_t kPieceSize = std::size_t{1} << 20;

}  // namespace

ReadAhead::ReadAhead(std::unique_ptr<ByteStream> source, bool is_summed)
    : is_summed_(is_summed), source_(std::move(source)) {
  for (Piece& piece : pieces_) piece.bytes.resize(kPieceSize);
  thread_ = std::thread([this] { run(*source_); });
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadAhead::run(ByteStream& source) {
  try {
    fill(source);
  } catch (...) {
    failure_ = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  is_at_end_ = true;
  changed_.notify_all();
}

void ReadAhead::fill(ByteStream& source) {
  std::optional<Sha256> sum;
  if (is_summed_) sum.emplace();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_stopped_ || filled_ - taken_ < kPieces; });
      if (is_stopped_) return;
    }
    Piece& piece = pieces_[filled_ % kPieces];
    piece.length = source.read(piece.bytes);
    if (sum) sum->add(std::span(piece.bytes).first(piece.length));
    if (piece.length == 0) break;
    const std::lock_guard lock(mutex_);
    ++filled_;
    changed_.notify_all();
  }
  if (sum) sha256_ = sum->digest();
}

bool ReadAhead::wait_for_piece() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return taken_ < filled_ || is_at_end_; });
  if (taken_ < filled_) return true;
  if (failure_) std::rethrow_exception(failure_);
  return false;
}

std::span<const std::byte> ReadAhead::next(std::size_t max) {
  Piece* piece = &pieces_[taken_ % kPieces];
  if (used_ > 0 && used_ == piece->length) {
    const std::lock_guard lock(mutex_);
    ++taken_;
    used_ = 0;
    changed_.notify_all();
    piece = &pieces_[taken_ % kPieces];
  }
  if (used_ == 0 && !wait_for_piece()) return {};
  const std::size_t length = std::min(max, piece->length - used_);
  const std::span<const std::byte> bytes = std::span(piece->bytes).subspan(used_, length);
  used_ += length;
  position_ += length;
  return bytes;
}

void ReadAhead::drain() {
  while (!next(kPieceSize).empty()) {
  }
}

}  // namespace varve::apply
