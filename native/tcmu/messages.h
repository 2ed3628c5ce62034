// The kernel's generic netlink messages about TCMU devices, as bytes. Whatever comes in is checked;
// what is not as it should be is not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace varve::tcmu {

using Bytes = std::vector<std::byte>;

// What the kernel's family of messages is called by now.
struct Family {
  std::uint16_t id = 0;
  std::uint32_t group = 0;  // in which devices are told of
};

struct DeviceMessage {
  enum class Kind : std::uint8_t { kAdded = 1, kRemoved = 2, kReconfigured = 3 };
  Kind kind = Kind::kAdded;
  std::uint32_t minor = 0;                  // of its UIO device
  std::optional<std::uint32_t> device_id;   // who has one waits for an answer
  std::string device;                       // see target_name.h
};

[[nodiscard]] Bytes family_request(std::uint32_t sequence);
// Says that messages about devices get answers.
[[nodiscard]] Bytes features_request(const Family& family, std::uint32_t sequence);
// Tells the kernel how it went: 0 or a negative errno.
[[nodiscard]] Bytes answer_to(const Family& family, const DeviceMessage& message,
                              std::int32_t status, std::uint32_t sequence);

// What one datagram holds.
struct Datagram {
  std::optional<Family> family;
  // The answer to the request of that number: 0 or a negative errno.
  struct Acknowledgement {
    std::uint32_t sequence = 0;
    std::int32_t error = 0;
  };
  std::vector<Acknowledgement> acknowledgements;
  std::vector<DeviceMessage> devices;
};

// `family_id` is that of the family once it is known.
[[nodiscard]] Datagram parse_datagram(std::span<const std::byte> bytes,
                                      std::optional<std::uint16_t> family_id);

}  // namespace varve::tcmu
