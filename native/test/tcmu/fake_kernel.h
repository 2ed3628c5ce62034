// The kernel's side of a ring: lays commands in and takes answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "tcmu/protocol.h"

namespace varve::test {

class FakeKernel {
 public:
  static constexpr std::uint32_t kEntriesOffset = 128;
  static constexpr std::uint32_t kEntriesBytes = 1024;
  static constexpr std::uint32_t kDataOffset = kEntriesOffset + kEntriesBytes;
  static constexpr std::uint32_t kMemoryBytes = 16 << 10;

  FakeKernel() : words_(kMemoryBytes / sizeof(std::uint64_t)) {
    put<std::uint16_t>(tcmu::kMailboxVersionAt, tcmu::kMailboxVersion);
    put<std::uint16_t>(tcmu::kMailboxFlagsAt, tcmu::kAnswersInAnyOrder | tcmu::kTakesReadLength);
    put<std::uint32_t>(tcmu::kEntriesOffsetAt, kEntriesOffset);
    put<std::uint32_t>(tcmu::kEntriesSizeAt, kEntriesBytes);
  }

  [[nodiscard]] std::span<std::byte> memory() {
    return std::as_writable_bytes(std::span(words_));
  }
  template <typename Number>
  void put(std::size_t at, Number number) {
    io::store(&memory()[at], number);
  }
  template <typename Number>
  [[nodiscard]] Number get(std::size_t at) {
    return io::load<Number>(&memory()[at]);
  }

  [[nodiscard]] std::uint32_t head() { return get<std::uint32_t>(tcmu::kHeadAt); }
  [[nodiscard]] std::uint32_t tail() { return get<std::uint32_t>(tcmu::kTailAt); }
  [[nodiscard]] std::size_t entry_at(std::uint32_t position) { return kEntriesOffset + position; }

  using Pieces = std::initializer_list<std::pair<std::uint64_t, std::uint64_t>>;

  // An entry of any kind, as long as it is; moves the head. Gives its position.
  std::uint32_t add_entry(std::uint32_t kind, std::uint32_t length) {
    const std::uint32_t position = head();
    put<std::uint32_t>(entry_at(position), length | kind);
    put<std::uint32_t>(tcmu::kHeadAt, (position + length) % kEntriesBytes);
    return position;
  }

  // A command, with padding before it where it would not fit.
  std::uint32_t add_command(std::uint16_t id, std::initializer_list<unsigned> command,
                            Pieces pieces = {}) {
    const auto length = static_cast<std::uint32_t>(
        std::max<std::size_t>(tcmu::kCommandEntryBytesMin,
                              tcmu::kPiecesAt + pieces.size() * tcmu::kPieceBytes) +
        16);
    if (kEntriesBytes - head() < length) add_entry(tcmu::kPadEntry, kEntriesBytes - head());
    const std::uint32_t position = add_entry(tcmu::kCommandEntry, length);
    const std::size_t at = entry_at(position);
    std::memset(&memory()[at + 4], 0, length - 4);
    put<std::uint16_t>(at + tcmu::kEntryIdAt, id);
    put<std::uint32_t>(at + tcmu::kPieceCountAt, static_cast<std::uint32_t>(pieces.size()));
    put<std::uint64_t>(at + tcmu::kCommandOffsetAt, at + length - 16);
    std::size_t piece_at = at + tcmu::kPiecesAt;
    for (const auto& [offset, size] : pieces) {
      put<std::uint64_t>(piece_at, offset);
      put<std::uint64_t>(piece_at + 8, size);
      piece_at += tcmu::kPieceBytes;
    }
    std::size_t byte_at = at + length - 16;
    for (const unsigned byte : command) memory()[byte_at++] = static_cast<std::byte>(byte);
    return position;
  }

  struct Answer {
    std::uint16_t id = 0;
    std::uint8_t status = 0;
    std::uint8_t flags = 0;
    std::uint32_t read_length = 0;
    std::uint8_t key = 0;
    std::uint16_t code = 0;
  };
  // The next answer, as the kernel looks for it: up to the tail, past padding.
  std::optional<Answer> take_answer() {
    while (cleaned_ != tail()) {
      const std::size_t at = entry_at(cleaned_);
      const auto length_and_kind = get<std::uint32_t>(at);
      cleaned_ = (cleaned_ + (length_and_kind & ~tcmu::kEntryKindMask)) % kEntriesBytes;
      if ((length_and_kind & tcmu::kEntryKindMask) != tcmu::kCommandEntry) continue;
      const auto byte = [&](std::size_t offset) {
        return std::to_integer<std::uint8_t>(memory()[at + offset]);
      };
      return Answer{.id = get<std::uint16_t>(at + tcmu::kEntryIdAt),
                    .status = byte(tcmu::kStatusAt),
                    .flags = byte(tcmu::kEntryFlagsAt),
                    .read_length = get<std::uint32_t>(at + tcmu::kReadLengthAt),
                    .key = byte(tcmu::kSenseAt + 2),
                    .code = static_cast<std::uint16_t>(byte(tcmu::kSenseAt + 12) << 8 |
                                                       byte(tcmu::kSenseAt + 13))};
    }
    return std::nullopt;
  }

 private:
  std::vector<std::uint64_t> words_;  // aligned as pages are
  std::uint32_t cleaned_ = 0;
};

}  // namespace varve::test
