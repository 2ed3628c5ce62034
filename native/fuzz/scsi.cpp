// A SCSI command: its length in a byte, then its bytes, then the data that go with it.
#include "scsi/disk.h"

#include <algorithm>
#include <array>

#include "fuzz/target.h"
#include "test/transport/memory_device.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  if (size == 0) return 0;
  const std::size_t length = std::min<std::size_t>(data[0] % 64, size - 1);
  std::vector<std::byte> bytes = fuzz::bytes_of(data + 1, size - 1);
  const std::span<std::byte> rest = std::span(bytes).subspan(length);
  scsi::DataArea area;
  area.add(rest.first(rest.size() / 2));
  area.add(rest.subspan(rest.size() / 2));
  static std::array<std::byte, 64 << 10> buffer;
  static const auto content = std::make_shared<test::MemoryDevice>(64 << 10);
  for (const bool is_read_only : {false, true}) {
    scsi::Disk disk(content, {.serial = "user_1-fuzzed", .is_read_only = is_read_only});
    static_cast<void>(disk.execute(std::span(bytes).first(length), area, buffer));
  }
  return 0;
}
