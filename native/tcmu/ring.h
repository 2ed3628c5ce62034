// The ring of a TCMU device: memory in which the kernel lays commands and takes how they ended. No
// descriptors and no threads here: whoever uses it sees to it that one thread does at a time.
//
// All that is read from the memory is copied once and checked before use, since it may be anything
// and may change. Entries are answered in any order: an answer goes into the oldest entry that was
// taken and has none yet, and names its command itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <stdexcept>

#include "scsi/data_area.h"
#include "scsi/disk.h"
#include "scsi/outcome.h"

namespace varve::tcmu {

// Memory that is no ring that we know.
class RingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct RingCommand {
  std::uint16_t id = 0;
  // False if its parts lie where they cannot: it is to be answered all the same.
  bool is_sound = false;
  std::array<std::byte, scsi::kCommandBytesMax> bytes{};
  std::size_t length = 0;
  scsi::DataArea data;

  [[nodiscard]] std::span<const std::byte> command() const noexcept {
    return std::span(bytes).first(length);
  }
};

class Ring {
 public:
  // `memory` outlives this. Throws RingError.
  explicit Ring(std::span<std::byte> memory);

  enum class Taken {
    kCommand,
    kNothing,
    kBroken,  // it cannot be told where the next entry begins; nothing more can be taken
  };
  // Takes the next command. Throws std::bad_alloc, and has taken nothing then.
  Taken take(RingCommand& command);
  // Whether there may be something to take.
  [[nodiscard]] bool has_more() const noexcept;

  // Answers a command that was taken.
  void complete(std::uint16_t id, const scsi::Outcome& outcome) noexcept;

  // Whether every command that was laid into it has been answered.
  [[nodiscard]] bool is_idle() const noexcept { return taken_.empty() && !has_more(); }

 private:
  struct Entry {
    std::uint32_t position = 0;
    std::uint32_t next = 0;
  };

  [[nodiscard]] std::uint32_t head() const noexcept;
  void set_tail(std::uint32_t position) noexcept;
  void read_command(RingCommand& command, std::span<const std::byte> entry);

  std::span<std::byte> memory_;
  std::span<std::byte> entries_;
  std::uint32_t entries_offset_ = 0;
  bool can_tell_length_ = false;  // of what was read
  bool is_broken_ = false;
  std::uint32_t position_ = 0;  // of the next entry to take
  std::deque<Entry> taken_;     // and not answered yet, the oldest first
};

}  // namespace varve::tcmu
