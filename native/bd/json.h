// JSON as the daemon writes it: fields stay in the order in which they were set.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace varve::bd {

using Json = nlohmann::ordered_json;

// One line without its end. Names of files and processes may be any bytes: what is no UTF-8 comes
// out as U+FFFD.
inline std::string to_line(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace varve::bd
