#include "bd/device_note.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace varve::bd {

std::string encoded(const DeviceNote& note) {
  // Paths that are not UTF-8 have been refused with their configuration.
  return nlohmann::json({{"device", note.device},
                         {"config", note.config},
                         {"configText", note.config_text},
                         {"readOnly", note.is_read_only},
                         {"openedAt", note.opened_at}})
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DeviceNote parse_device_note(const std::string& text) {
  try {
    const auto document = nlohmann::json::parse(text);
    return {.device = document.at("device").get<std::string>(),
            .config = document.at("config").get<std::string>(),
            .config_text = document.at("configText").get<std::string>(),
            .is_read_only = document.at("readOnly").get<bool>(),
            .opened_at = document.at("openedAt").get<std::string>()};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(std::string("what a predecessor noted of a device: ") + error.what());
  }
}

}  // namespace varve::bd
