// varve-bd: opens stacks of overlaybd layers and presents each as a block device, as it is told on
// its control socket (docs/block-daemon.md).
//
// One thread runs the control socket and never blocks; what can block has threads of its own, and
// requests of devices are served by those of the transport.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

#include "bd/control_server.h"
#include "bd/layer_images.h"
#include "bd/log.h"
#include "bd/memory_pressure.h"
#include "bd/options.h"
#include "bd/service.h"
#include "bd/target_server.h"
#include "holder/holder_client.h"
#include "image/global_config.h"
#include "place/socket_place.h"
#include "syscalls/varve_sys.h"
#include "transport/fuse_transport.h"
#include "ublk/ublk_transport.h"

namespace varve::bd {
namespace {

constexpr const char* kProgram = "varve-bd";
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// A missing standard descriptor would be taken by the first file opened.
void hold_standard_descriptors() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < STDERR_FILENO) fd = ::dup(fd);
  if (fd > STDERR_FILENO) ::close(fd);
}

void raise_descriptor_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t set_of(std::initializer_list<int> numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  return set;
}

// Before there is a second thread: all threads inherit it, so no signal that can be blocked ends
// the process by its default, however early or late it comes.
void block_signals() {
  const sigset_t blocked =
      set_of({SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE});
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

// A descriptor from which the signals are read that end the daemon.
int open_end_signals() {
  const sigset_t set = set_of({SIGTERM, SIGINT});
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  return fd;
}

void notify(const char* state) {
  if (const char* socket = std::getenv("NOTIFY_SOCKET"); socket != nullptr) {
    static_cast<void>(varve_sys_notify(socket, state));
  }
}

LogLevel level_of(const image::LogConfig& config) {
  constexpr std::array kLevels = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn,
                                  LogLevel::kError, LogLevel::kFatal};
  return kLevels[std::min<std::size_t>(config.level, kLevels.size() - 1)];
}

LogLevel level_of(const Options& options, const image::GlobalConfig& config) {
  if (options.log_level) return *options.log_level;
  return config.log ? level_of(*config.log) : LogLevel::kInfo;
}

// Whatever hangs, a daemon that was told to end ends.
void end_in_any_case() {
  std::thread([] {
    std::this_thread::sleep_for(kStopDeadline + 2 * kStopGrace);
    ::_exit(kExitFailure);
  }).detach();
}

void tell_of_writeback(const transport::ServingPool& pool, Log& log) {
  if (const int error = pool.io_flusher_error(); error != 0) {
    log.warn("the serving threads are not part of writeback: when memory is short, a writable "
             "device may wait for itself; run the daemon with CAP_SYS_RESOURCE",
             {{"reason", std::strerror(error)}});
  }
}

void tell_lacking(const std::vector<transport::Transport*>& transports, Log& log) {
  const bool is_any_there = std::any_of(transports.begin(), transports.end(), [](const auto* one) {
    return one->lacking().empty();
  });
  for (const transport::Transport* one : transports) {
    for (const std::string& lacking : one->lacking()) {
      if (is_any_there) {
        log.info("devices are not attached by " + one->name() + ": " + lacking, {});
      } else {
        log.warn("no device can be attached: " + lacking, {{"transport", one->name()}});
      }
    }
  }
}

// What a predecessor has left to the transport.
void take_over_from(transport::Transport& transport, Service& service, Log& log) {
  try {
    service.take_over(transport.survivors());
  } catch (const std::exception& error) {
    log.error(error.what(), {{"transport", transport.name()}});
  }
}

// Leaves what is open to the kernel, or to whoever holds it.
[[noreturn]] void leave(const Options& options, int status) {
  ::unlink((options.socket + ".lock").c_str());
  ::unlink((std::filesystem::path(options.run_dir) / "varve-bd.lock").c_str());
  // For the log.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ::_exit(status);
}

// Until a signal ends it.
void serve(const Options& options, Log& log, asio::io_context& context,
           asio::local::stream_protocol::acceptor acceptor) {
  std::function<void()> take_over;  // by the thread of the context, once there is a service
  std::unique_ptr<holder::HolderClient> holder;
  if (!options.holder.empty()) {
    holder = std::make_unique<holder::HolderClient>(
        options.holder, [&](bool is_connected, const std::string& problem) {
          if (is_connected && problem.empty()) {
            log.info("devices outlive this process", {{"holder", options.holder}});
            asio::post(context, [&] { take_over(); });
          } else {
            log.warn(problem + (is_connected ? "" : ": devices end with this process until it is back"),
                     {{"holder", options.holder}});
          }
        });
  }
  transport::ServingPoolOptions pool_options;
  if (holder) pool_options.make_buffer = transport::parked_buffers(*holder);
  const auto pool = std::make_shared<transport::ServingPool>(pool_options);
  transport::FuseTransport fuse(pool, {}, holder.get(), options.uses_resend);
  ublk::UblkTransport ublk(pool, options.run_dir + "/ublk");
  const LayerImages images(log);
  std::unique_ptr<ControlServer> server;
  const Surroundings around{.images = images,
                            .transports = {&ublk, &fuse},
                            .log = log,
                            .serves_target = options.serves_target};
  Service service(context, around,
                  [&server](const Json& event) { server->publish(event); });
  take_over = [&] { service.find_survivors([&] { return fuse.survivors(); }); };
  server = std::make_unique<ControlServer>(std::move(acceptor), service, log);
  std::optional<TargetServer> targets;
  try {
    if (options.serves_target) {
      targets.emplace(context, service, pool, log);
      targets->begin();
    }
  } catch (...) {
    ::unlink(options.socket.c_str());
    throw;
  }

  asio::posix::stream_descriptor signals(context, open_end_signals());
  signals.async_wait(asio::posix::stream_descriptor::wait_read, [&](const std::error_code& error) {
    signalfd_siginfo signal = {};
    if (error || ::read(signals.native_handle(), &signal, sizeof signal) != sizeof signal) return;
    log.info("stopping", {{"signal", ::strsignal(static_cast<int>(signal.ssi_signo))}});
    notify("STOPPING=1");
    end_in_any_case();
    server->stop();
    // Nobody should find a socket on which nobody answers.
    ::unlink(options.socket.c_str());
    const auto end = [&] { asio::post(context, [&] { server->close_all(); context.stop(); }); };
    // A person's interrupt ends the devices, too; a service manager replaces the daemon.
    if (signal.ssi_signo == SIGTERM) {
      service.hand_over(end);
    } else {
      service.stop(end);
    }
    if (targets) targets->stop(signal.ssi_signo == SIGTERM);
  });
  // Before anybody can ask which devices there are.
  take_over_from(ublk, service, log);
  take_over_from(fuse, service, log);
  server->begin();
  tell_of_writeback(*pool, log);
  tell_lacking(around.transports, log);
  log.info("serving", {{"address", options.socket},
                       {"runDir", options.run_dir},
                       {"transport", around.best_transport().name()},
                       {"tcmu", options.serves_target},
                       {"process", ::getpid()}});
  notify("READY=1");
  context.run();
  // Before anything that can hang: whoever waits for an answer of the kernel gets none any more.
  if (targets) targets->end();
  if (service.leaves_devices()) {
    log.info("stopped: devices wait for the next one", {});
    leave(options, EXIT_SUCCESS);
  }
  if (!service.is_idle(kStopGrace)) {
    // Threads hang in work on files, and use what would be destroyed here.
    log.warn("stopped, with work left that hangs", {});
    leave(options, kExitFailure);
  }
}

int run(const Options& options) {
  image::GlobalConfig config;
  if (!options.config.empty()) config = image::load_global_config(options.config);
  hold_standard_descriptors();
  block_signals();
  raise_descriptor_limit();

  place::make_private_directory(std::filesystem::path(options.socket).parent_path().string());
  place::make_private_directory(options.run_dir);
  const place::HeldLock run_dir_lock(options.run_dir + "/varve-bd.lock",
                                     "the run directory " + options.run_dir, kProgram);
  const place::HeldLock socket_lock(options.socket + ".lock", "the socket " + options.socket,
                                    kProgram);
  asio::io_context context(1);
  using asio::local::stream_protocol;
  stream_protocol::acceptor acceptor(
      context, stream_protocol(),
      place::listen_at(options.socket, place::SocketType::kStream).release());

  Log log(level_of(options, config), config.log);
  for (const image::Note& note : config.notes) {
    log.warn(note.text, {{"config", options.config}, {"key", note.key}});
  }
  for (const std::string& refused : prepare_for_memory_pressure()) log.warn(refused, {});
  serve(options, log, context, std::move(acceptor));
  log.info("stopped", {});
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace varve::bd

int main(int count, char** arguments) {
  using namespace varve::bd;
  try {
    const Options options = parse_options({arguments + 1, arguments + count});
    if (options.wants_help) {
      std::cout << kUsage;
      return EXIT_SUCCESS;
    }
    return run(options);
  } catch (const UsageError& error) {
    std::cerr << "varve-bd: " << error.what() << "; varve-bd --help shows what there is\n";
    return kExitUsage;
  } catch (const std::exception& error) {
    std::cerr << "varve-bd: " << error.what() << "\n";
    return kExitFailure;
  }
}
