// The command line of varve-bd.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bd/log.h"

namespace varve::bd {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string socket;   // absolute
  std::string run_dir;  // absolute; that of the socket unless it is named
  std::string config;   // absolute; empty: none
  std::string holder;   // absolute; empty: none
  bool uses_resend = true;
  std::optional<LogLevel> log_level;
  bool serves_target = false;
  bool wants_help = false;
};

inline constexpr const char* kUsage =
    "usage: varve-bd --socket PATH [--run-dir DIR] [--config FILE] [--holder PATH]\n"
    "                [--log-level LEVEL] [--tcmu]\n"
    "\n"
    "Presents stacks of overlaybd layers as block devices.\n"
    "\n"
    "  --socket PATH      unix socket on which it is controlled (varve bd, docs/block-daemon.md)\n"
    "  --run-dir DIR      directory of which one daemon at a time has the use\n"
    "                     (default: that of the socket)\n"
    "  --config FILE      overlaybd.json; what is in it works, or is named in the log\n"
    "  --holder PATH      socket of a varve-bd-holder, with which devices outlive this process\n"
    "  --no-resend        treat the kernel as one before 6.9, which does not keep unanswered\n"
    "                     requests for a successor of this process\n"
    "  --log-level LEVEL  trace, debug, info, warn, error or fatal (default: that of the\n"
    "                     configuration, else info)\n"
    "  --tcmu             also serve the devices of the kernel's target whose dev_config begins\n"
    "                     with overlaybd (docs/transport.md)\n";

// Relative paths are taken from where the daemon is started. Throws UsageError.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace varve::bd
