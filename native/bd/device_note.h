// What a successor of this process has to know of a device to open its image again.
#pragma once

#include <string>

namespace varve::bd {

struct DeviceNote {
  std::string device;       // name
  std::string config;       // path
  // What that file held: it may be another one by now. Empty: what it holds now counts.
  std::string config_text{};
  bool is_read_only = false;
  std::string opened_at{};
};

[[nodiscard]] std::string encoded(const DeviceNote& note);

// Throws std::runtime_error for what is none.
[[nodiscard]] DeviceNote parse_device_note(const std::string& text);

}  // namespace varve::bd
