#include "bd/device.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <optional>
#include <utility>

#include "image/image_config.h"
#include "image/result_file.h"

namespace varve::bd {

namespace {

// As the kernel keeps it, its end included.
constexpr std::size_t kKernelNameMax = 63;

std::string kernel_name(const std::string& device) {
  return ("varve-bd " + device).substr(0, kKernelNameMax);
}

[[noreturn]] void fail(const std::string& device, const std::string& step, int error) {
  throw DeviceError("failed", "device " + device + ": " + step + ": " + std::strerror(error));
}

std::string described(const std::vector<transport::DeviceUser>& users) {
  std::string text;
  for (const transport::DeviceUser& user : users) text += (text.empty() ? "" : "; ") + user.text;
  return text;
}

}  // namespace

std::shared_ptr<Device> Device::open(const OpenRequest& request, const Surroundings& around,
                                     const DeviceParts& parts, Cancellation& cancellation) {
  std::string result_file;
  const auto tell = [&](const std::optional<std::string>& failure) {
    const int error = image::write_result_file(result_file, failure);
    if (error == 0) return;
    around.log.warn(
        "a result file cannot be written",
        {{"device", parts.name}, {"path", result_file}, {"reason", std::strerror(-error)}});
  };
  const auto refuse = [&](const char* code, const std::string& text) {
    tell(text);
    throw DeviceError(code, text);
  };
  std::shared_ptr<Device> device;
  try {
    const auto configuration = around.images.load(request.config);
    result_file = configuration->result_file();
    std::unique_ptr<Image> image = configuration->open(*parts.reports, request.is_read_only);
    if (const std::uint64_t dropped = image->dropped_entries(); dropped > 0) {
      around.log.warn(
          "writes that nobody had flushed were lost, as by a loss of power",
          {{"device", parts.name}, {"config", request.config}, {"droppedEntries", dropped}});
    }
    device.reset(new Device(parts, !image->is_writable(), configuration->has_writable_layer()));
    device->content_ =
        std::make_shared<MeteredDevice>(std::move(image), parts.metrics, parts.reports);
    if (!cancellation.is_cancelled()) {
      device->attached_ = around.transport.attach(
          device->content_,
          {.name = kernel_name(parts.name), .is_read_only = device->is_read_only_});
    }
  } catch (const image::ConfigError& error) {
    result_file = error.result_file();
    refuse("open-failed", error.what());
  } catch (const io::FormatError& error) {
    refuse("open-failed", error.what());
  } catch (const transport::TransportError& error) {
    refuse("attach-failed", request.config + " cannot be attached: " + error.what());
  }
  // Last, because it can take long as well, and then what it says must be taken back.
  if (!cancellation.is_cancelled()) tell(std::nullopt);
  if (!cancellation.finish()) {
    device.reset();
    refuse("deadline", request.config + " was not open in time and was given up");
  }
  return device;
}

Device::Closed Device::close(transport::CloseMode mode, std::chrono::milliseconds patience) {
  const transport::CloseResult result = attached_->close(mode, patience);
  if (result.error != 0) {
    throw DeviceError("in-use", "device " + parts_.name + " is in use: " + described(result.users) +
                                    "; let go of it, or close it with detach or abort",
                      result.users);
  }
  Closed closed{.is_gone = result.is_gone, .users = result.users};
  // The kernel flushes when the last user closes the device; this tells whether it worked.
  if (closed.is_gone && !is_read_only_) closed.flush_error = content_->flush();
  return closed;
}

Device::Closed Device::abandon(std::chrono::milliseconds sync_patience,
                               std::chrono::milliseconds patience) {
  Closed closed;
  std::future<int> syncing;
  bool is_synced = true;
  if (!is_read_only_) {
    syncing = std::async(std::launch::async, [this] { return attached_->sync(); });
    is_synced = syncing.wait_for(sync_patience) == std::future_status::ready;
  }
  // What takes too long to be written has the device open, too, so nobody else is waited for.
  transport::CloseResult result;
  if (is_synced) result = attached_->close(transport::CloseMode::kDetach, patience);
  if (!result.is_gone) {
    const std::vector<transport::DeviceUser> users = is_synced ? result.users : attached_->users();
    result = attached_->close(transport::CloseMode::kAbort, std::chrono::milliseconds(100));
    if (result.users.empty()) result.users = users;
  }
  if (syncing.valid()) closed.flush_error = syncing.get();
  closed.is_gone = result.is_gone;
  closed.users = std::move(result.users);
  std::erase_if(closed.users, [](const transport::DeviceUser& user) {
    return user.kind == transport::DeviceUser::Kind::kDescriptor && user.process == ::getpid();
  });
  // Users that let go meanwhile had something written as well.
  if (!is_read_only_ && closed.flush_error == 0) closed.flush_error = content_->flush();
  return closed;
}

CommitSummary Device::commit(const CommitRequest& request, Cancellation& cancellation) {
  check_writable("committed");
  check_unused("commit");
  sync("commit");
  try {
    const ClosedGate gate(content_->gate());
    return commit_to_file(content_->image(), request, cancellation);
  } catch (const io::FormatError& error) {
    if (error.error() == ECANCELED) {
      throw DeviceError("deadline", "the commit of device " + parts_.name + " was given up");
    }
    if (error.error() == EEXIST) {
      throw DeviceError("already-exists", error.what());
    }
    throw DeviceError("failed", "device " + parts_.name + " cannot be committed: " + error.what());
  }
}

void Device::seal() {
  check_writable("sealed");
  check_unused("seal");
  sync("seal");
  const ClosedGate gate(content_->gate());
  try {
    content_->image().seal();
  } catch (const io::FormatError& error) {
    throw DeviceError("failed", "device " + parts_.name + " cannot be sealed: " + error.what());
  }
}

void Device::resize(std::uint64_t size_bytes) {
  check_writable("resized");
  if (size_bytes < size()) {
    check_unused("shrink");
    sync("shrink");
  }
  {
    const ClosedGate gate(content_->gate());
    const int error = content_->image().resize(size_bytes);
    if (error != 0) fail(parts_.name, "resize to " + std::to_string(size_bytes) + " bytes", -error);
  }
  if (const int error = attached_->resized(); error != 0) {
    fail(parts_.name, "its layer has the new size, but the kernel does not take it over", -error);
  }
}

void Device::check_writable(const char* work) const {
  if (!is_read_only_) return;
  throw DeviceError("not-writable", "device " + parts_.name + " cannot be " + work + ": " +
                                        (has_writable_layer_ ? "it was opened read-only"
                                                             : "its image has no writable layer"));
}

// The kernel keeps what was written without a flush for as long as anybody has the device open,
// which its transport has.
void Device::sync(const char* work) {
  if (const int error = attached_->sync(); error != 0) {
    fail(parts_.name, std::string(work) + ": what was written to it before cannot be flushed", -error);
  }
}

void Device::check_unused(const char* work) const {
  const std::vector<transport::DeviceUser> users = attached_->users();
  if (users.empty()) return;
  throw DeviceError("in-use", "device " + parts_.name + " is in use: " + described(users) +
                                  "; let go of it, then " + work + " it",
                    users);
}

}  // namespace varve::bd
