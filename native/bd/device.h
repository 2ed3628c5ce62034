// One device: an image behind a block device of the kernel. Everything here can block, and is
// called by one thread at a time, which the table of devices sees to.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bd/cancellation.h"
#include "bd/device_note.h"
#include "bd/device_reports.h"
#include "bd/image.h"
#include "bd/layer_output.h"
#include "bd/metered_device.h"
#include "bd/request.h"
#include "bd/result_files.h"
#include "transport/transport.h"

namespace varve::bd {

// Work on a device that failed; `code` is part of the protocol.
class DeviceError : public std::runtime_error {
 public:
  DeviceError(std::string code, const std::string& text,
              std::vector<transport::DeviceUser> users = {}, int error = 0)
      : std::runtime_error(text), code_(std::move(code)), users_(std::move(users)), error_(error) {}
  [[nodiscard]] const std::string& code() const noexcept { return code_; }
  // Who is in the way.
  [[nodiscard]] const std::vector<transport::DeviceUser>& users() const noexcept { return users_; }
  // A positive errno where a file or the kernel gave one, else 0.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  std::string code_;
  std::vector<transport::DeviceUser> users_;
  int error_;
};

// What stays of a device while it is opened, open and closed.
struct DeviceParts {
  std::string name;
  std::shared_ptr<DeviceMetrics> metrics = std::make_shared<DeviceMetrics>();
  std::shared_ptr<DeviceReports> reports;
  std::shared_ptr<ResultFiles> result_files = std::make_shared<ResultFiles>();  // of all devices
};

// What devices are made of and with; outlives them.
struct Surroundings {
  const ImageSource& images;
  // That clients can ask for, the best first; at least one.
  std::vector<transport::Transport*> transports;
  Log& log;
  // Whether devices of the kernel's target are served, too.
  bool serves_target = false;

  // The first one that can attach devices now; if none can, the last, which says what it lacks.
  [[nodiscard]] transport::Transport& best_transport() const;
};

class Device {
 public:
  // Opens and attaches, and writes the result file that the configuration names. Throws
  // DeviceError; nothing is left then. One that is cancelled meanwhile has failed.
  static std::shared_ptr<Device> open(const OpenRequest& request,
                                      transport::Transport& transport, const Surroundings& around,
                                      const DeviceParts& parts, Cancellation& cancellation);
  // Serves one of a predecessor on. Throws DeviceError; the survivor waits on then.
  static std::shared_ptr<Device> take_over(transport::Survivor& survivor, const DeviceNote& note,
                                           const Surroundings& around, const DeviceParts& parts);
  ~Device() { parts_.result_files->remove(result_file_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] bool is_sealed() const noexcept { return is_sealed_; }
  // Whether a predecessor had let go of it already.
  [[nodiscard]] bool is_let_go() const noexcept { return is_let_go_; }
  [[nodiscard]] const std::string& path() const noexcept { return attached_->path(); }
  // Whether it stays for the next daemon when this one ends.
  [[nodiscard]] bool outlives_process() const noexcept { return attached_->outlives_process(); }
  [[nodiscard]] bool has_direct_io() const noexcept { return attached_->has_direct_io(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return content_->size(); }
  [[nodiscard]] bool is_read_only() const noexcept { return is_read_only_ || is_sealed_; }
  [[nodiscard]] std::size_t layer_count() const noexcept { return content_->image().layer_count(); }

  // Whether closing it once more may change anything; not while another call is under way.
  [[nodiscard]] bool can_go_on_closing() const { return !is_let_go_ || attached_->has_ended(); }

  struct Closed {
    bool is_gone = false;
    bool is_left = false;                      // the kernel keeps it for the next daemon
    std::vector<transport::DeviceUser> users;  // of one that is not gone yet
    int flush_error = 0;                       // negative errno: what was written may be lost
  };
  // Unless it aborts, it first writes out what the kernel holds of the device; where that takes
  // longer than `patience`, it goes on and nothing else is done. Throws DeviceError: in-use. May be
  // called again for one that is not gone.
  Closed close(transport::CloseMode mode, std::chrono::milliseconds patience);
  // For the end of the daemon: makes durable what was written, as far as that is done in time, waits
  // a while for users to let go, and ends it in any case; but one that the kernel keeps for the next
  // daemon is left to that.
  Closed abandon(std::chrono::milliseconds sync_patience, std::chrono::milliseconds patience);

  // These throw DeviceError. Whoever has the device open is in the way of all but a larger size.
  CommitSummary commit(const CommitRequest& request, Cancellation& cancellation);
  void seal();
  void resize(std::uint64_t size_bytes);

 private:
  explicit Device(DeviceParts parts) : parts_(std::move(parts)) {}

  using Clock = std::chrono::steady_clock;

  void open_image(const ImageConfiguration& configuration, OpenMode mode,
                  const std::string& config, Log& log);
  void check_writable(const char* work) const;
  void check_unused(const char* work) const;
  [[noreturn]] void refuse_to_close(const std::vector<transport::DeviceUser>& users) const;
  void sync(const char* work);
  // The same in a thread of its own. Whether it has ended by then; else it goes on.
  bool sync_until(Clock::time_point deadline);
  // What Closed tells of one that is gone.
  int final_flush_error();

  DeviceParts parts_;
  std::string result_file_;  // that is ours
  bool is_read_only_ = true;
  // Not told to the kernel, which would keep it of the loop device for its next use.
  std::atomic<bool> is_sealed_ = false;
  bool has_writable_layer_ = false;  // which a device that was opened read-only may have as well
  std::shared_ptr<MeteredDevice> content_;
  std::unique_ptr<transport::AttachedDevice> attached_;
  bool is_let_go_ = false;
  int sync_error_ = 0;        // of one that ended in sync_until
  std::future<int> syncing_;  // uses what is above
};

}  // namespace varve::bd
