// The configuration of overlaybd's own daemon, overlaybd.json, for those who come from it. Whatever
// is in it works here, is refused by its name, or has a note for the log; see image_config.h.
//
// Only what the daemon has a use for has a member here; `log` is the daemon's to apply, and of
// `download` the default for images that say nothing about it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "image/image_config.h"

namespace varve::image {

struct LogConfig {
  unsigned level = 1;  // 0 debug, 1 information, 2 warnings, 3 errors
  std::string path = "/var/log/overlaybd.log";
  unsigned size_max_mb = 10;
  int rotated_files = 3;
};

struct GlobalConfig {
  // Nothing where the file says nothing about logs.
  std::optional<LogConfig> log;
  DownloadConfig download;
  std::vector<Note> notes;
};

// Both throw ConfigError.
GlobalConfig load_global_config(const std::string& path);
GlobalConfig parse_global_config(std::string_view text, const std::string& name);

}  // namespace varve::image
