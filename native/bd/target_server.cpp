#include "bd/target_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "bd/device_note.h"
#include "helper/failure.h"
#include "tcmu/protocol.h"
#include "tcmu/uio_device.h"
#include "transport/kernel_files.h"

namespace varve::bd {

namespace {

constexpr int kErrnoMax = 4095;

// What the kernel tells whoever added the device. To EAGAIN clients answer by trying again for a
// while, which only helps where another daemon is about to come.
int status_of(const Json& reply) {
  if (!reply.contains("error")) return 0;
  const Json& error = reply["error"];
  if (error["code"] == "stopping") return -EAGAIN;
  if (error["code"] == "already-exists") return -EEXIST;
  const int number = error.value("errno", EIO);
  if (number == EAGAIN) return -EBUSY;
  return number > 0 && number <= kErrnoMax ? -number : -EIO;
}

Json fields_of(const tcmu::Target& target) {
  return {{"target", printable(target.full_name)}, {"path", tcmu::uio_path(target.minor)}};
}

// As a name in the table of devices, which has fewer characters.
std::string sanitized(const std::string& text) {
  std::string name = text.substr(0, kDeviceNameBytesMax);
  std::replace_if(
      name.begin(), name.end(),
      [](char one) {
        const bool is_letter = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z');
        return !is_letter && !(one >= '0' && one <= '9') &&
               std::string_view("._:-").find(one) == std::string_view::npos;
      },
      '_');
  return name;
}

// Of all varve-bd of the machine: a name that the kernel gives back when the process ends.
UniqueFd lock_target() {
  if (::access(tcmu::kParameters, F_OK) != 0) {
    throw transport::TransportError(
        errno, "the kernel has no devices for us to serve: load its module target_core_user, or "
               "leave out --tcmu");
  }
  if (::access(tcmu::kTargetRoot, W_OK) != 0) {
    throw transport::TransportError(
        errno, std::string(tcmu::kTargetRoot) + " cannot be written (" + std::strerror(errno) +
                   "), without which no device can be taken over: mount configfs there, run this "
                   "process as root, or leave out --tcmu");
  }
  constexpr std::string_view kName("\0varve-bd --tcmu", 16);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::copy(kName.begin(), kName.end(), address.sun_path);
  UniqueFd lock(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kName.size());
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  if (lock && ::bind(lock.get(), plain, length) == 0) return lock;
  throw transport::TransportError(
      errno, errno == EADDRINUSE
                 ? std::string("another varve-bd serves the kernel's target, which one at a time "
                               "can: end it first, or leave out --tcmu")
                 : std::string("the kernel's target cannot be locked: ") + std::strerror(errno));
}

}  // namespace

TargetServer::TargetServer(asio::io_context& context, Service& service,
                           std::shared_ptr<transport::ServingPool> pool, Log& log)
    : context_(context),
      service_(service),
      pool_(std::move(pool)),
      log_(log),
      lock_(lock_target()),
      readable_(context, socket_.descriptor()) {}

TargetServer::~TargetServer() { readable_.release(); }

void TargetServer::set_blocked(bool is_blocked) {
  const std::string path = std::string(tcmu::kParameters) + "block_netlink";
  const int error = transport::write_text(path, is_blocked ? "1" : "0");
  if (error == 0) return;
  log_.warn("the kernel cannot be told whether devices may be added",
            {{"path", path}, {"reason", error_name(-error)}});
}

void TargetServer::end() {
  fail_unanswered();
  if (!is_blocked_for_next_) set_blocked(false);
}

void TargetServer::fail_unanswered() {
  static_cast<void>(transport::write_text(std::string(tcmu::kParameters) + "reset_netlink", "1"));
}

void TargetServer::begin() {
  // Nobody is to be told of until those that are there are known.
  set_blocked(true);
  Service::Survivors left;
  try {
    left = find_left();
  } catch (...) {
    set_blocked(false);
    throw;
  }
  fail_unanswered();
  service_.take_over(std::move(left));
  set_blocked(false);
  listen();
}

Service::Survivors TargetServer::find_left() {
  Service::Survivors left;
  for (const std::uint32_t minor : tcmu::uio_minors()) {
    tcmu::Target target{.minor = minor,
                        .full_name = tcmu::uio_target(minor),
                        .name = {},
                        .is_taken_over = true};
    const auto parsed = tcmu::parse_target_name(target.full_name);
    if (!parsed) continue;
    if (!parsed->name) {
      log_.error("a device of the kernel's target is not served: " + parsed->reason,
                 fields_of(target));
      continue;
    }
    target.name = *parsed->name;
    const DevicePointer device = make_device(target);
    try {
      device->transport->claim();
    } catch (const transport::TransportError& error) {
      if (error.error() == EBUSY) {
        throw transport::TransportError(
            EBUSY, "another process serves " + tcmu::uio_path(minor) + " (" +
                       printable(target.full_name) +
                       "): one at a time can serve the kernel's target; end it first, or leave "
                       "out --tcmu");
      }
      // Tried again with everything else that it needs.
      log_.warn(error.what(), fields_of(target));
    }
    left.push_back(tcmu::survivor_of(
        device->transport, encoded({.device = device->name, .config = target.name.config_path})));
  }
  return left;
}

void TargetServer::stop(bool is_replaced) {
  is_stopping_ = true;
  // Whoever else has devices of the target need not wait where nobody of ours will.
  is_blocked_for_next_ = is_replaced || !devices_.empty();
  set_blocked(true);
  // What waits has not been begun.
  for (auto& waiting : std::exchange(waiting_, {})) waiting();
}

void TargetServer::listen() {
  readable_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [this](const std::error_code& error) {
                         if (error) return;
                         receive();
                         listen();
                       });
}

void TargetServer::receive() {
  // A turn of others comes in between, however much there is.
  constexpr int kTurnMessages = 64;
  for (int turn = 0; turn < kTurnMessages; ++turn) {
    const tcmu::NetlinkSocket::Received received = socket_.receive();
    if (received.has_missed) {
      log_.error("messages of the kernel were lost: whoever waits for an answer fails", {});
      fail_unanswered();
    }
    for (const Message& message : received.devices) handle(message);
    if (received.is_empty) return;
  }
}

void TargetServer::handle(const Message& message) {
  const auto parsed = tcmu::parse_target_name(message.device);
  // Of another handler, which answers.
  if (!parsed) return;
  const Answer answer = answer_to(message);
  tcmu::Target target{.minor = message.minor,
                      .full_name = message.device,
                      .name = parsed->name.value_or(tcmu::TargetName()),
                      .is_taken_over = false};
  switch (message.kind) {
    case Message::Kind::kAdded:
      if (!parsed->name) {
        log_.error("a device of the kernel's target is refused: " + parsed->reason,
                   fields_of(target));
        answer(-EINVAL);
        return;
      }
      add(target, answer);
      return;
    case Message::Kind::kRemoved: remove(message.minor, message.device, answer); return;
    case Message::Kind::kReconfigured: break;
  }
  // The size is that of the image, and what is behind a device does not change.
  answer(-EOPNOTSUPP);
}

TargetServer::Answer TargetServer::answer_to(const Message& message) {
  return [this, message](int status) {
    if (const int error = socket_.answer(message, status); error != 0) {
      log_.error("the kernel cannot be answered",
                 {{"target", printable(message.device)}, {"reason", error_name(-error)}});
    }
  };
}

TargetServer::DevicePointer TargetServer::find(std::uint32_t minor,
                                               const std::string& full_name) const {
  const auto found = devices_.find(minor);
  const bool is_it = found != devices_.end() && found->second->full_name == full_name;
  return is_it ? found->second : nullptr;
}

std::string TargetServer::name_for(const tcmu::Target& target) const {
  std::string name = sanitized(target.name.adapter + ":" + target.name.device);
  const bool is_taken = std::any_of(devices_.begin(), devices_.end(), [&](const auto& one) {
    return one.second->name == name;
  });
  if (!is_taken) return name;
  const std::string number = ":uio" + std::to_string(target.minor);
  return name.substr(0, kDeviceNameBytesMax - number.size()) + number;
}

void TargetServer::add(const tcmu::Target& target, Answer answer) {
  if (const auto before = devices_.find(target.minor); before != devices_.end()) {
    // Its end was not told, but its number is given to another one.
    remove(target.minor, before->second->full_name,
           [this, target, answer](int) { add(target, answer); });
    return;
  }
  const DevicePointer device = make_device(target);
  waiting_.push_back(
      [this, device, target, answer = std::move(answer)] { open(device, target, answer); });
  open_next();
}

TargetServer::DevicePointer TargetServer::make_device(const tcmu::Target& target) {
  const auto device = std::make_shared<Device>();
  device->full_name = target.full_name;
  device->name = name_for(target);
  device->transport = std::make_shared<tcmu::TcmuTransport>(
      pool_, target,
      // Called by threads that may outlive this; what they post only runs while it lives.
      [this, &context = context_, minor = target.minor,
       full_name = target.full_name](const std::string& reason) {
        asio::post(context, [=, this] { ended(minor, full_name, reason); });
      });
  devices_[target.minor] = device;
  return device;
}

void TargetServer::open_next() {
  while (opening_count_ < kTargetOpensMax && !waiting_.empty()) {
    const std::function<void()> next = std::move(waiting_.front());
    waiting_.pop_front();
    next();
  }
}

void TargetServer::open(const DevicePointer& device, const tcmu::Target& target,
                        const Answer& answer) {
  ++opening_count_;
  const auto opened = [this, device, target, answer](const Json& reply) {
    --opening_count_;
    const int status = status_of(reply);
    if (status != 0) {
      const auto found = devices_.find(target.minor);
      if (found != devices_.end() && found->second == device) devices_.erase(found);
    }
    answer(status);
    if (!is_stopping_) asio::post(context_, [this] { open_next(); });
  };
  service_.handle(OpenRequest{.config = target.name.config_path,
                              .device = device->name,
                              .is_read_only = false,
                              .deadline = kOpenDeadline,
                              .transport = device->transport},
                  opened);
}

void TargetServer::remove(std::uint32_t minor, const std::string& full_name,
                          const Answer& answer) {
  const DevicePointer device = find(minor, full_name);
  if (device == nullptr) {
    answer(0);
    return;
  }
  const Answer answer_once = [answer, is_answered = std::make_shared<bool>(false)](int status) {
    if (!std::exchange(*is_answered, true)) answer(status);
  };
  devices_.erase(minor);
  device->transport->set_removed();
  // The kernel holds a lock that everybody needs who configures its target.
  const auto bound = std::make_shared<asio::steady_timer>(context_, kRemovalPatience);
  bound->async_wait([this, device, answer_once](const std::error_code& error) {
    if (error) return;
    log_.warn("the kernel removes a device that is not closed yet", {{"device", device->name}});
    answer_once(0);
  });
  service_.end(device->name, [bound, device, answer_once] {
    bound->cancel();
    device->transport->end_refusing();
    answer_once(0);
  });
}

void TargetServer::ended(std::uint32_t minor, const std::string& full_name,
                         const std::string& reason) {
  const DevicePointer device = find(minor, full_name);
  if (device == nullptr) return;
  log_.warn("a device of the kernel's target is not served any more: " + reason,
            {{"device", device->name}});
  remove(minor, full_name, [](int) {});
}

}  // namespace varve::bd
