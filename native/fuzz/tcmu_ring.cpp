// The memory of a TCMU ring: every command in it is taken, carried out and answered.
#include <algorithm>
#include <array>

#include "fuzz/target.h"
#include "tcmu/ring.h"
#include "test/transport/memory_device.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  std::vector<std::uint64_t> words((size + 7) / 8);  // aligned as pages are
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(words)).first(size);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, memory.begin());
  static std::array<std::byte, 64 << 10> buffer;
  static const auto content = std::make_shared<test::MemoryDevice>(64 << 10);
  scsi::Disk disk(content, {.serial = "user_1-fuzzed", .is_read_only = false});
  try {
    tcmu::Ring ring(memory);
    // Data may lie where the mailbox is not, so the head stays, and a round has an end.
    std::vector<std::uint16_t> taken;
    tcmu::RingCommand command;
    for (std::size_t at = 0; at <= size; ++at) {
      if (ring.take(command) != tcmu::Ring::Taken::kCommand) break;
      if (command.is_sound) {
        ring.complete(command.id, disk.execute(command.command(), command.data, buffer));
      } else {
        taken.push_back(command.id);
      }
    }
    for (const std::uint16_t id : taken) ring.complete(id, scsi::Outcome::busy());
  } catch (const tcmu::RingError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
