#include "ublk/ublk_transport.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "transport/capability.h"

namespace varve::ublk {

namespace {

using transport::TransportError;

// Of older ones, the driver loses devices whose daemon dies at the wrong moment.
constexpr int kVersionMin = 6;
constexpr int kPatchLevelMin = 12;

std::string kernel_obstacle() {
  utsname names = {};
  int version = 0;
  int patch_level = 0;
  if (::uname(&names) != 0) return {};
  if (std::sscanf(names.release, "%d.%d", &version, &patch_level) != 2) return {};
  if (std::pair(version, patch_level) >= std::pair(kVersionMin, kPatchLevelMin)) return {};
  return std::string("the kernel is ") + names.release +
         ", and its ublk is used from Linux 6.12 on: start a newer one";
}

std::string control_obstacle() {
  if (const UniqueFd file(::open(kControlPath, O_RDWR | O_CLOEXEC)); file) return {};
  const int error = errno;
  const bool is_forbidden = error == EACCES || error == EPERM;
  return std::string(kControlPath) + " cannot be opened (" + std::strerror(error) + "): " +
         (is_forbidden ? "run this process as root" : "load the kernel's module ublk_drv") +
         ", or let its container have the device";
}

// What the driver can do does not change, and asking takes two system calls and a thread.
std::string driver_obstacle() {
  static std::atomic<bool> is_known_to_do = false;
  if (is_known_to_do) return {};
  try {
    Control control;
    std::uint64_t features = 0;
    const int error = control.features(features);
    is_known_to_do = error == 0 && (features & kNeededFlags) == kNeededFlags;
    if (is_known_to_do) return {};
    return "the kernel's ublk cannot do what is needed: start a newer kernel";
  } catch (const TransportError& error) {
    return std::string("io_uring cannot be used (") + error.what() +
           "): allow it (sysctl kernel.io_uring_disabled, the container's seccomp profile)";
  }
}

class UblkSurvivor final : public transport::Survivor {
 public:
  UblkSurvivor(UblkSurroundings around, std::uint32_t number, Note note)
      : around_(std::move(around)),
        number_(number),
        note_(std::move(note)),
        path_(block_path(number)) {}

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] const std::string& note() const noexcept override { return note_.note; }
  [[nodiscard]] std::string transport() const override { return kName; }
  [[nodiscard]] bool is_let_go() const noexcept override {
    return note_.stage == Note::Stage::kLetGo;
  }
  std::unique_ptr<transport::AttachedDevice> serve(
      std::shared_ptr<transport::BlockDevice> content, bool /*is_read_only*/) override {
    return std::make_unique<UblkDevice>(around_, number_, note_, content);
  }
  void abort() noexcept override {
    try {
      Control control;
      static_cast<void>(take_away(control, number_, around_.notes, note_.cookie));
    } catch (const std::exception&) {
      // The next daemon finds it again.
    }
  }

 private:
  UblkSurroundings around_;
  std::uint32_t number_;
  Note note_;
  std::string path_;
};

}  // namespace

std::vector<std::string> UblkTransport::lacking() const {
  if (std::string obstacle = kernel_obstacle(); !obstacle.empty()) return {std::move(obstacle)};
  std::vector<std::string> found;
  if (!transport::has_capability(CAP_SYS_ADMIN)) found.emplace_back(transport::kNoAdminCapability);
  if (std::string obstacle = control_obstacle(); !obstacle.empty()) {
    found.push_back(std::move(obstacle));
  } else if (obstacle = driver_obstacle(); !obstacle.empty()) {
    found.push_back(std::move(obstacle));
  }
  return found;
}

std::unique_ptr<transport::AttachedDevice> UblkTransport::attach(
    std::shared_ptr<transport::BlockDevice> content, const transport::AttachOptions& options) {
  if (!lacking().empty()) throw TransportError(EOPNOTSUPP, "ublk cannot be used");
  const std::uint64_t size = content->size();
  if (size == 0 || size % options.block_size_bytes != 0 || size > INT64_MAX) {
    throw TransportError(EINVAL, "a device of " + std::to_string(size) +
                                     " bytes: the size must be a multiple of 512 and not 0");
  }
  return std::make_unique<UblkDevice>(around_, content, options);
}

std::vector<std::unique_ptr<transport::Survivor>> UblkTransport::survivors() {
  around_.notes.remove_unfinished();
  const std::vector<Note> notes = around_.notes.all();
  std::vector<std::unique_ptr<transport::Survivor>> found;
  if (notes.empty()) return found;
  Control control;
  std::map<std::uint64_t, DeviceInfo> devices;
  bool is_all_known = true;
  for (const std::uint32_t number : device_numbers()) {
    DeviceInfo info;
    const int error = control.info(number, info);
    if (error == 0) devices.emplace(info.cookie, info);
    if (error != 0 && error != -ENODEV) is_all_known = false;
  }
  for (const Note& note : notes) {
    const auto device = devices.find(note.cookie);
    if (device == devices.end()) {
      // Of a device that is gone, or of a machine that was started anew.
      if (is_all_known) around_.notes.remove(note.cookie);
      continue;
    }
    const DeviceInfo& info = device->second;
    const bool is_whole = info.state != DeviceState::kDead &&
                          (note.stage == Note::Stage::kAttached || note.stage == Note::Stage::kLetGo);
    if (is_whole) {
      found.push_back(std::make_unique<UblkSurvivor>(around_, info.number, note));
    } else {
      // One that does not go is tried again by the next daemon; nobody was ever told of it.
      static_cast<void>(take_away(control, info.number, around_.notes, note.cookie));
    }
  }
  return found;
}

}  // namespace varve::ublk
