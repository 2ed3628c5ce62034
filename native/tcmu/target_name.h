// What the kernel calls a TCMU device, and what its configuration says of the image behind it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace varve::tcmu {

// The handlers of configurations that begin with it are we.
inline constexpr std::string_view kSubtype = "overlaybd";

struct TargetName {
  std::string adapter;      // "user_5"
  std::string device;       // its directory's name there
  std::string config_path;  // of the image
  std::string snapshot_id{};  // empty where none is given

  // Its directory below that of the target core.
  [[nodiscard]] std::string directory() const { return adapter + "/" + device; }
};

struct NameOrReason {
  std::optional<TargetName> name;
  std::string reason;  // why there is none
};

// Reads "tcm-user/5/name/overlaybd//path/config.v1.json;id". Nothing for what is somebody else's.
std::optional<NameOrReason> parse_target_name(std::string_view text);

}  // namespace varve::tcmu
