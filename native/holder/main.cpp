// varve-bd-holder: keeps the descriptors of varve-bd's devices while varve-bd is replaced or has died
// (docs/block-daemon.md). It has a lifetime of its own: upgrades leave it alone, and it ends when it
// is asked to and holds nothing any more.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "holder/holder.h"
#include "place/socket_place.h"
#include "syscalls/varve_sys.h"

namespace varve::holder {
namespace {

constexpr const char* kProgram = "varve-bd-holder";
constexpr int kExitUsage = 2;

constexpr const char* kUsage =
    "usage: varve-bd-holder --socket PATH\n"
    "\n"
    "Keeps the descriptors of varve-bd's devices, so that they outlive it: varve-bd --holder PATH.\n"
    "When it is asked to end (SIGTERM, SIGINT) it ends as soon as it holds nothing any more.\n";

void tell(const char* level, const std::string& text) {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> time = {};
  std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  using Json = nlohmann::json;
  const std::string message = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::fprintf(stderr, "{\"level\":\"%s\",\"time\":\"%s\",\"msg\":%s}\n", level, time.data(),
               message.c_str());
}

int open_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT}) ::sigaddset(&set, number);
  sigset_t blocked = set;
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) ::sigaddset(&blocked, number);
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// What it holds is lost with it, so it is the last to go, and never waits for memory.
void stay_alive() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  std::ofstream("/proc/self/oom_score_adj") << "-1000\n";
  static_cast<void>(::mlockall(MCL_CURRENT | MCL_FUTURE));
}

int run(const std::string& socket) {
  UniqueFd signals(open_signals());
  if (!signals) throw place::PlaceRefused("there is no descriptor for signals");
  place::make_private_directory(std::filesystem::path(socket).parent_path().string());
  const place::HeldLock lock(socket + ".lock", "the socket " + socket, kProgram);
  Holder holder(place::listen_at(socket, place::SocketType::kPackets), std::move(signals),
                [](const std::string& text) { tell("info", text); });
  stay_alive();
  tell("info", "holding at " + socket);
  if (const char* notified = std::getenv("NOTIFY_SOCKET"); notified != nullptr) {
    static_cast<void>(varve_sys_notify(notified, "READY=1"));
  }
  holder.run();
  ::unlink(socket.c_str());
  tell("info", "stopped");
  return EXIT_SUCCESS;
}

int usage_error(const std::string& text) {
  std::fprintf(stderr, "%s: %s; %s --help shows what there is\n", kProgram, text.c_str(), kProgram);
  return kExitUsage;
}

int main(int count, char** arguments) {
  std::string socket;
  for (int at = 1; at < count; ++at) {
    const std::string_view argument = arguments[at];
    constexpr std::string_view kSocket = "--socket";
    if (argument == "--help") {
      std::fputs(kUsage, stdout);
      return EXIT_SUCCESS;
    }
    if (argument == kSocket && at + 1 < count) {
      socket = arguments[++at];
    } else if (argument.starts_with("--socket=")) {
      socket = argument.substr(kSocket.size() + 1);
    } else {
      return usage_error("there is no option " + std::string(argument));
    }
  }
  if (socket.empty()) return usage_error("--socket needs a path");
  try {
    return run(std::filesystem::absolute(socket).lexically_normal().string());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", kProgram, error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace
}  // namespace varve::holder

int main(int count, char** arguments) { return varve::holder::main(count, arguments); }
