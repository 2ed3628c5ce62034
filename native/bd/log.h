// The log: lines of JSON on standard error or in a file, with the field names of varve serve's:
// level, time, the fields of the line, msg. A reader or a disk that is slow or gone never holds a
// device up: lines wait in a bounded queue, and the oldest give way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bd/json.h"
#include "image/global_config.h"

namespace varve::bd {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kFatal };

// As on the command line: trace, debug, info, warn, error, fatal.
std::optional<LogLevel> parse_log_level(std::string_view text) noexcept;

// Safe from several threads.
class Log {
 public:
  // Into `file`, which is rotated as it says; without one to standard error. Throws
  // std::runtime_error for a file that cannot be written.
  explicit Log(LogLevel level, const std::optional<image::LogConfig>& file = std::nullopt);
  // Writes what still waits.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void write(LogLevel level, std::string_view message, const Json& fields) noexcept;

  void debug(std::string_view message, const Json& fields) noexcept {
    write(LogLevel::kDebug, message, fields);
  }
  void info(std::string_view message, const Json& fields) noexcept {
    write(LogLevel::kInfo, message, fields);
  }
  void warn(std::string_view message, const Json& fields) noexcept {
    write(LogLevel::kWarn, message, fields);
  }
  void error(std::string_view message, const Json& fields) noexcept {
    write(LogLevel::kError, message, fields);
  }

 private:
  class Lines;
  LogLevel level_;
  std::unique_ptr<Lines> lines_;
};

// Now, as the log and the events write it: 2026-01-31T12:00:00.000Z.
std::string utc_now();

}  // namespace varve::bd
