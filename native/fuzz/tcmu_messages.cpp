// A datagram of generic netlink about TCMU devices, and the names in it.
#include "fuzz/target.h"
#include "tcmu/messages.h"
#include "tcmu/target_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  const std::vector<std::byte> bytes = fuzz::bytes_of(data, size);
  for (const std::optional<std::uint16_t> family : {std::optional<std::uint16_t>(), {0x21}}) {
    const tcmu::Datagram datagram = tcmu::parse_datagram(bytes, family);
    for (const tcmu::DeviceMessage& message : datagram.devices) {
      static_cast<void>(tcmu::parse_target_name(message.device));
      static_cast<void>(tcmu::answer_to({.id = 0x21, .group = 1}, message, -5, 1));
    }
  }
  static_cast<void>(tcmu::parse_target_name({reinterpret_cast<const char*>(data), size}));
  return 0;
}
