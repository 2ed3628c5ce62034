#include "tcmu/target_name.h"

#include <algorithm>

namespace varve::tcmu {

namespace {

constexpr std::size_t kAdapterDigitsMax = 10;  // of 32 bits
constexpr std::size_t kDeviceBytesMax = 255;
constexpr std::size_t kPathBytesMax = 4095;

// What lies before the next slash; takes it and the slash away.
std::optional<std::string_view> next_part(std::string_view& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view part = text.substr(0, slash);
  text.remove_prefix(slash + 1);
  return part;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= kAdapterDigitsMax &&
         std::all_of(text.begin(), text.end(), [](char one) { return one >= '0' && one <= '9'; });
}

}  // namespace

std::optional<NameOrReason> parse_target_name(std::string_view text) {
  const auto kind = next_part(text);
  const auto adapter = next_part(text);
  const auto device = next_part(text);
  const auto subtype = next_part(text);
  if (!subtype || *kind != "tcm-user" || *subtype != kSubtype) return std::nullopt;
  const auto refused = [](const char* reason) {
    return NameOrReason{.name = std::nullopt, .reason = reason};
  };
  if (!is_number(*adapter)) return refused("the number of the adapter is none");
  if (device->empty() || *device == "." || *device == ".." || device->size() > kDeviceBytesMax) {
    return refused("the name of the device is none");
  }
  const std::size_t end = text.find(';');
  const std::string_view path = text.substr(0, end);
  if (path.empty() || path.front() != '/') {
    return refused("dev_config names no absolute path: it is overlaybd/PATH, with a path that "
                   "begins with a slash");
  }
  if (path.size() > kPathBytesMax || text.find('\0') != std::string_view::npos) {
    return refused("the path in dev_config is none");
  }
  return NameOrReason{
      .name = TargetName{.adapter = "user_" + std::string(*adapter),
                         .device = std::string(*device),
                         .config_path = std::string(path),
                         .snapshot_id = end == std::string_view::npos
                                            ? std::string()
                                            : std::string(text.substr(end + 1))},
      .reason = {}};
}

}  // namespace varve::tcmu
