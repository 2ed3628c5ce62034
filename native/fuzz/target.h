// What a fuzz target is: a function that takes any bytes and must come back, having allocated no
// more than the bytes justify. libFuzzer makes up the bytes; replay.cpp takes them from files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/file.h"
#include "test/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace varve::fuzz {

inline std::vector<std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  return {bytes.begin(), bytes.end()};
}

inline std::unique_ptr<test::MemoryFile> file_of(const std::uint8_t* data, std::size_t size) {
  return std::make_unique<test::MemoryFile>(bytes_of(data, size));
}

// Reads the beginning, the end, and what lies in between in steps that grow with the size: a size
// that the input only claims must not cost time.
inline void read_here_and_there(const io::File& file) {
  constexpr std::uint64_t kPieceMax = 128 << 10;
  constexpr std::uint64_t kPieceCount = 16;
  std::vector<std::byte> piece;
  const auto read = [&](std::uint64_t offset, std::uint64_t length) {
    piece.resize(std::min({length, kPieceMax, file.size() - offset}));
    if (!piece.empty()) static_cast<void>(file.read(piece, offset));
  };
  const std::uint64_t step = std::max<std::uint64_t>(file.size() / kPieceCount, 512) & ~511ULL;
  for (std::uint64_t offset = 0; offset < file.size(); offset += step) {
    read(offset, step);
    if (file.size() - offset <= step) break;
  }
  if (file.size() > 0) read(file.size() - 1, 1);
}

}  // namespace varve::fuzz
