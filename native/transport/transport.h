// A transport presents a BlockDevice to the kernel as a block device: a loop device on a FUSE file,
// a device of ublk, or one of the kernel's target. Attaching and closing may be done from many
// threads at once, and one that takes long delays no other.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "transport/block_device.h"
#include "transport/device_users.h"

namespace varve::transport {

// A device that cannot be attached; the text names the step and the reason.
class TransportError : public std::runtime_error {
 public:
  TransportError(int error, const std::string& text) : std::runtime_error(text), error_(error) {}
  [[nodiscard]] int error() const noexcept { return error_; }  // a positive errno

 private:
  int error_;
};

struct AttachOptions {
  std::string name;  // for the kernel's own listings
  bool is_read_only = false;
  std::uint32_t block_size_bytes = 512;  // logical; file systems made for 512 refuse a larger one
  // What a successor of this process has to know to serve the device on (Survivor).
  std::string note{};
};

enum class CloseMode {
  kIfUnused,  // refuse while someone uses it, and leave it as it is
  kDetach,    // users keep what they have; it goes away with the last of them
  kAbort,     // users get EIO from now on; it goes away with the last of them
};

struct CloseResult {
  int error = 0;         // 0, or -EBUSY when a close was refused because of users
  bool is_gone = false;  // nothing of the device is left
  // Who is in the way, when it is not gone; nobody where the content has not yet ended a request.
  std::vector<DeviceUser> users;
};

// An attached device. Its end detaches it (kDetach) without waiting.
class AttachedDevice {
 public:
  virtual ~AttachedDevice() = default;

  [[nodiscard]] virtual const std::string& path() const noexcept = 0;  // such as /dev/loop3
  // Without direct I/O a device works, but many times slower: worth a warning.
  [[nodiscard]] virtual bool has_direct_io() const noexcept = 0;
  [[nodiscard]] virtual std::vector<DeviceUser> users() const = 0;
  // Whether nothing serves it any more: it is gone, or was aborted. Also, now and then, of one that
  // was let go of where only a close finds out whether its last user is gone. Takes no time.
  [[nodiscard]] virtual bool has_ended() const = 0;
  // Whether the kernel keeps it for a successor when this process ends, now.
  [[nodiscard]] virtual bool outlives_process() const noexcept { return false; }
  // Why its size cannot be changed while it is there; empty if it can.
  [[nodiscard]] virtual std::string resize_obstacle() const { return {}; }
  // Tells the kernel that the content's size has changed. 0 or a negative errno.
  [[nodiscard]] virtual int resized() = 0;
  // Writes to the content what the kernel still holds of the device and of a file system on it, and
  // flushes. Takes as long as that takes; an aborting close, from another thread, ends it. 0 or a
  // negative errno.
  [[nodiscard]] virtual int sync() = 0;
  // Waits at most `patience` for the device to be gone. May be called again after a refusal, and to
  // wait on.
  virtual CloseResult close(CloseMode mode, std::chrono::milliseconds patience) = 0;
  // For the end of this process: stops serving a device that the kernel keeps for a successor,
  // users and requests included, which wait for it. Within `patience` what is under way is
  // answered; else it is left to the successor. Nothing for a device that would not be kept.
  virtual std::optional<CloseResult> leave(std::chrono::milliseconds /*patience*/) {
    return std::nullopt;
  }
};

// A device whose process has ended, and whose users wait. Its end leaves it as it is.
class Survivor {
 public:
  virtual ~Survivor() = default;
  [[nodiscard]] virtual const std::string& path() const noexcept = 0;
  [[nodiscard]] virtual const std::string& note() const noexcept = 0;
  [[nodiscard]] virtual std::string transport() const = 0;  // its name
  // Whether it ends when the daemon is told to end its devices: not if others configure it.
  [[nodiscard]] virtual bool is_ours_to_end() const noexcept { return true; }
  // Whether nothing but its last users is left to be waited for.
  [[nodiscard]] virtual bool is_let_go() const noexcept = 0;
  // Serves it on: what was under way is carried out or answered; nothing that was answered is carried
  // out again. The content and its
  // access are those of before. Throws TransportError, and may then be called again. At most once
  // otherwise.
  virtual std::unique_ptr<AttachedDevice> serve(std::shared_ptr<BlockDevice> content,
                                                bool is_read_only) = 0;
  // Gives it up: its users get EIO. Can take a while.
  virtual void abort() noexcept = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // What this process lacks to attach devices, each a sentence that says what to do.
  [[nodiscard]] virtual std::vector<std::string> lacking() const { return {}; }
  // Whether devices stay for a successor when this process ends, now.
  [[nodiscard]] virtual bool outlives_process() const noexcept { return false; }
  // Throws TransportError; nothing is left of a device that could not be attached.
  virtual std::unique_ptr<AttachedDevice> attach(std::shared_ptr<BlockDevice> content,
                                                 const AttachOptions& options) = 0;
  // The devices of a predecessor, each once. Throws TransportError.
  [[nodiscard]] virtual std::vector<std::unique_ptr<Survivor>> survivors() { return {}; }
};

}  // namespace varve::transport
