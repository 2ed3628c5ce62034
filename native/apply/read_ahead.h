// Reads a stream ahead on a thread of its own, so that decompression and the checksum run beside
// the writing of files.
//
// Pieces are always full but the last: what is written where must not depend on how a pipe was
// filled.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "apply/byte_stream.h"

namespace varve::apply {

class ReadAhead {
 public:
  // With `is_summed` the SHA-256 of all bytes is there at the end.
  ReadAhead(std::unique_ptr<ByteStream> source, bool is_summed);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // The next bytes, at most `max`; good until the next call. Empty at the end. Throws what the
  // stream threw, once everything before was taken.
  std::span<const std::byte> next(std::size_t max);
  // How many bytes were taken.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  // Takes what is left.
  void drain();
  // In hexadecimal digits; after the end only.
  [[nodiscard]] const std::string& sha256() const noexcept { return sha256_; }

 private:
  static constexpr std::size_t kPieces = 4;
  struct Piece {
    std::vector<std::byte> bytes;
    std::size_t length = 0;
  };

  void run(ByteStream& source);
  void fill(ByteStream& source);
  bool wait_for_piece();

  bool is_summed_;
  std::string sha256_;
  std::array<Piece, kPieces> pieces_;
  std::mutex mutex_;  // the four below
  std::condition_variable changed_;
  std::uint64_t filled_ = 0;  // pieces
  std::uint64_t taken_ = 0;
  bool is_at_end_ = false;
  bool is_stopped_ = false;
  std::exception_ptr failure_;  // set before is_at_end_
  std::size_t used_ = 0;        // of the piece that is being taken
  std::uint64_t position_ = 0;
  std::unique_ptr<ByteStream> source_;
  std::thread thread_;
};

}  // namespace varve::apply
