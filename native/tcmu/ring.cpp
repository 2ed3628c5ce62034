#include "tcmu/ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "io/bytes.h"
#include "tcmu/protocol.h"

namespace varve::tcmu {

namespace {

std::uint32_t* number_at(std::span<std::byte> memory, std::size_t offset) noexcept {
  return reinterpret_cast<std::uint32_t*>(memory.data() + offset);
}

}  // namespace

Ring::Ring(std::span<std::byte> memory) : memory_(memory) {
  if (memory.size() < kMailboxBytes) {
    throw RingError("the ring has " + std::to_string(memory.size()) + " bytes");
  }
  const auto version = io::load<std::uint16_t>(&memory[kMailboxVersionAt]);
  if (version != kMailboxVersion) {
    throw RingError("the ring is of version " + std::to_string(version) + ", not of " +
                    std::to_string(kMailboxVersion));
  }
  const auto flags = io::load<std::uint16_t>(&memory[kMailboxFlagsAt]);
  if ((flags & kAnswersInAnyOrder) == 0) {
    throw RingError("the kernel takes answers in the order of the commands alone");
  }
  can_tell_length_ = (flags & kTakesReadLength) != 0;
  entries_offset_ = io::load<std::uint32_t>(&memory[kEntriesOffsetAt]);
  const auto size = io::load<std::uint32_t>(&memory[kEntriesSizeAt]);
  if (entries_offset_ < kMailboxBytes || entries_offset_ % kEntryAlignment != 0 ||
      size % kEntryAlignment != 0 || size < kCommandEntryBytesMin ||
      !io::is_within(entries_offset_, size, memory.size())) {
    throw RingError("the ring says that its entries lie at " + std::to_string(entries_offset_) +
                    ", " + std::to_string(size) + " bytes of " + std::to_string(memory.size()));
  }
  entries_ = memory.subspan(entries_offset_, size);
  position_ = io::load<std::uint32_t>(&memory[kTailAt]);
  if (position_ >= size || position_ % kEntryAlignment != 0) {
    throw RingError("the ring says that its next entry is at " + std::to_string(position_));
  }
}

std::uint32_t Ring::head() const noexcept {
  return std::atomic_ref(*number_at(memory_, kHeadAt)).load(std::memory_order_acquire);
}

void Ring::set_tail(std::uint32_t position) noexcept {
  std::atomic_ref(*number_at(memory_, kTailAt)).store(position, std::memory_order_release);
}

bool Ring::has_more() const noexcept { return !is_broken_ && head() != position_; }

Ring::Taken Ring::take(RingCommand& command) {
  while (!is_broken_) {
    const std::uint32_t end = head();
    if (end == position_) return Taken::kNothing;
    const std::span<std::byte> left = entries_.subspan(position_);
    const auto length_and_kind = io::load<std::uint32_t>(left.data());
    const std::uint32_t length = length_and_kind & ~kEntryKindMask;
    const std::uint32_t kind = length_and_kind & kEntryKindMask;
    const auto size = static_cast<std::uint32_t>(entries_.size());
    const std::uint32_t filled = end > position_ ? end - position_ : size - position_ + end;
    const std::size_t length_min =
        kind == kCommandEntry ? kCommandEntryBytesMin : kEntryHeaderBytes;
    if (end >= size || length < length_min || length > std::min<std::size_t>(left.size(), filled)) {
      break;
    }
    const std::uint32_t next = (position_ + length) % size;
    if (kind == kCommandEntry) {
      read_command(command, left.first(length));
      taken_.push_back({.position = position_, .next = next});
      position_ = next;
      return Taken::kCommand;
    }
    if (kind != kPadEntry) left[kEntryFlagsAt] = std::byte{kUnknownEntry};
    position_ = next;
    // Nobody answers it, so it is done with as soon as all before it are answered.
    if (taken_.empty()) {
      set_tail(next);
    } else {
      taken_.back().next = next;
    }
  }
  is_broken_ = true;
  return Taken::kBroken;
}

void Ring::read_command(RingCommand& command, std::span<const std::byte> entry) {
  command.is_sound = false;
  command.length = 0;
  command.data.clear();
  command.id = io::load<std::uint16_t>(&entry[kEntryIdAt]);
  const auto count = io::load<std::uint32_t>(&entry[kPieceCountAt]);
  const auto others = io::load<std::uint32_t>(&entry[kSecondPieceCountAt]);
  const auto place = io::load<std::uint64_t>(&entry[kCommandOffsetAt]);
  // Nothing that we know moves data both ways.
  if (others != 0 || count > (entry.size() - kPiecesAt) / kPieceBytes) return;
  if (!io::is_within(place, 1, memory_.size())) return;
  const std::span<const std::byte> bytes = memory_.subspan(place);
  std::copy_n(bytes.begin(), std::min(bytes.size(), command.bytes.size()), command.bytes.begin());
  command.length = std::min(scsi::command_length(command.bytes), bytes.size());
  const std::uint64_t data_offset = entries_offset_ + entries_.size();
  for (std::uint32_t at = 0; at < count; ++at) {
    const std::byte* piece = &entry[kPiecesAt + at * kPieceBytes];
    const auto offset = io::load<std::uint64_t>(piece);
    const auto length = io::load<std::uint64_t>(piece + sizeof(std::uint64_t));
    if (offset < data_offset || !io::is_within(offset, length, memory_.size())) return;
    command.data.add(memory_.subspan(offset, length));
  }
  command.is_sound = true;
}

void Ring::complete(std::uint16_t id, const scsi::Outcome& outcome) noexcept {
  if (taken_.empty()) return;
  const Entry oldest = taken_.front();
  taken_.pop_front();
  std::byte* entry = &entries_[oldest.position];
  const bool is_good = outcome.status == scsi::Outcome::Status::kGood;
  const auto data_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(outcome.data_bytes, UINT32_MAX));
  const bool tells_length = can_tell_length_ && is_good && data_bytes > 0;
  io::store<std::uint16_t>(entry + kEntryIdAt, id);
  entry[kEntryFlagsAt] = std::byte{
      static_cast<std::uint8_t>(tells_length ? kHasReadLength : 0)};
  entry[kStatusAt] = static_cast<std::byte>(outcome.status);
  io::store<std::uint32_t>(entry + kReadLengthAt, data_bytes);
  const auto sense = is_good ? std::array<std::byte, scsi::kSenseBytes>{}
                             : scsi::sense_data(outcome.sense);
  std::memcpy(entry + kSenseAt, sense.data(), sense.size());
  set_tail(oldest.next);
}

}  // namespace varve::tcmu
