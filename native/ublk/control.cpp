#include "ublk/control.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "transport/kernel_files.h"
#include "transport/transport.h"

namespace varve::ublk {

namespace {

constexpr unsigned kEntries = 2;

ControlCommand command_for(std::uint32_t device) {
  ControlCommand command;
  command.device = device;
  return command;
}

template <typename Data>
ControlCommand command_with(std::uint32_t device, Data& data, std::size_t length = sizeof(Data)) {
  ControlCommand command = command_for(device);
  command.length = static_cast<std::uint16_t>(length);
  command.address = reinterpret_cast<std::uint64_t>(&data);
  return command;
}

ControlCommand command_of_process(std::uint32_t device) {
  ControlCommand command = command_for(device);
  command.value = static_cast<std::uint64_t>(::getpid());
  return command;
}

[[noreturn]] void fail(const std::string& step, int error) {
  throw transport::TransportError(error, step + ": " + std::strerror(error));
}

}  // namespace

Control::Control() : file_(::open(kControlPath, O_RDWR | O_CLOEXEC)) {
  if (!file_) fail(std::string("open ") + kControlPath, errno);
  if (const int error = ring_.open(kEntries, IORING_SETUP_SQE128); error != 0) {
    fail("io_uring_setup", -error);
  }
}

int Control::run(std::uint32_t operation, const ControlCommand& command) noexcept {
  ring_.command(file_.get(), operation, command, 0);
  while (true) {
    const int count = ::io_uring_submit_and_wait(ring_.get(), 1);
    if (count < 0 && count != -EINTR && count != -EAGAIN) return count;
    io_uring_cqe* done = nullptr;
    if (::io_uring_peek_cqe(ring_.get(), &done) != 0) continue;
    const int result = done->res;
    ::io_uring_cqe_seen(ring_.get(), done);
    return result < 0 ? result : 0;
  }
}

int Control::features(std::uint64_t& features) noexcept {
  return run(kGetFeatures, command_with(UINT32_MAX, features));
}

int Control::add(DeviceInfo& info) noexcept {
  return run(kAddDevice, command_with(info.number, info));
}

int Control::info(std::uint32_t device, DeviceInfo& info) noexcept {
  return run(kGetDeviceInfo, command_with(device, info));
}

int Control::set_parameters(std::uint32_t device, const Parameters& parameters) noexcept {
  return run(kSetParameters, command_with(device, parameters, kParametersBytes));
}

int Control::start(std::uint32_t device) noexcept {
  return run(kStartDevice, command_of_process(device));
}

int Control::stop(std::uint32_t device) noexcept { return run(kStopDevice, command_for(device)); }

int Control::remove(std::uint32_t device) noexcept {
  return run(kDeleteDevice, command_for(device));
}

int Control::start_recovery(std::uint32_t device) noexcept {
  return run(kStartRecovery, command_for(device));
}

int Control::end_recovery(std::uint32_t device) noexcept {
  return run(kEndRecovery, command_of_process(device));
}

int Control::update_size(std::uint32_t device, std::uint64_t sectors) noexcept {
  ControlCommand command = command_for(device);
  command.value = sectors;
  return run(kUpdateSize, command);
}

std::vector<std::uint32_t> device_numbers() {
  constexpr std::string_view kPrefix = "ublkc";
  std::vector<std::uint32_t> numbers;
  constexpr const char* kFolder = "/sys/class/ublk-char";
  // Without the driver it is not there; where it cannot be read, nothing is known.
  if (::access(kFolder, R_OK) != 0 && errno != ENOENT) fail(kFolder, errno);
  for (const std::string& name : transport::names_in(kFolder)) {
    if (!name.starts_with(kPrefix)) continue;
    std::uint32_t number = 0;
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, number);
    if (error == std::errc() && stop == end) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace varve::ublk
