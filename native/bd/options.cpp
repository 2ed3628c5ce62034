#include "bd/options.h"

#include <filesystem>

namespace varve::bd {

namespace {

std::string absolute(const std::string& name, const std::string& path) {
  if (path.empty()) throw UsageError(name + " needs a path");
  return std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    std::string name = arguments[at];
    std::optional<std::string> own;
    if (const std::size_t sign = name.find('='); name.rfind("--", 0) == 0 && sign != name.npos) {
      own = name.substr(sign + 1);
      name.resize(sign);
    }
    const auto value = [&]() -> std::string {
      if (own) return *own;
      if (at + 1 == arguments.size()) throw UsageError(name + " needs a value");
      return arguments[++at];
    };
    if (name == "--help" && !own) {
      options.wants_help = true;
    } else if (name == "--tcmu" && !own) {
      options.serves_target = true;
    } else if (name == "--socket") {
      options.socket = absolute(name, value());
    } else if (name == "--run-dir") {
      options.run_dir = absolute(name, value());
    } else if (name == "--config") {
      options.config = absolute(name, value());
    } else if (name == "--holder") {
      options.holder = absolute(name, value());
    } else if (name == "--no-resend" && !own) {
      options.uses_resend = false;
    } else if (name == "--log-level") {
      const std::string level = value();
      options.log_level = parse_log_level(level);
      if (!options.log_level) {
        throw UsageError("--log-level is one of trace, debug, info, warn, error, fatal, not " +
                         level);
      }
    } else {
      throw UsageError("there is no option " + name);
    }
  }
  if (options.wants_help) return options;
  if (options.socket.empty()) throw UsageError("--socket is missing");
  if (options.run_dir.empty()) {
    options.run_dir = std::filesystem::path(options.socket).parent_path().string();
  }
  return options;
}

}  // namespace varve::bd
