#include "bd/device.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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

// What to do about an image that cannot be opened.
const char* next_step(int error) {
  switch (error) {
    case EBUSY: return "; close it or wait for it to end first";
    case ENOENT: return "; mend the path, or put the file there";
    case EINVAL:
    case EIO: return "; mend the configuration or the layer that it names";
    default: return "";
  }
}

std::string described(const std::vector<transport::DeviceUser>& users) {
  std::string text;
  for (const transport::DeviceUser& user : users) text += (text.empty() ? "" : "; ") + user.text;
  return text;
}

// Whatever is still being written out has the device open, too.
std::vector<transport::DeviceUser> without_ourselves(std::vector<transport::DeviceUser> users) {
  std::erase_if(users, [](const transport::DeviceUser& user) {
    return user.kind == transport::DeviceUser::Kind::kDescriptor && user.process == ::getpid();
  });
  return users;
}

// What became of opening an image, where its configuration wants it written.
void write_result(const std::string& result_file, const std::optional<std::string>& failure,
                  const Surroundings& around, const DeviceParts& parts) {
  if (failure && parts.result_files->has(result_file)) return;
  const std::optional<std::string> obstacle = image::write_result_file(result_file, failure);
  if (!obstacle) return;
  around.log.warn("a result file cannot be written",
                  {{"device", parts.name}, {"path", result_file}, {"reason", *obstacle}});
}

}  // namespace

transport::Transport& Surroundings::best_transport() const {
  const auto found = std::find_if(transports.begin(), transports.end(),
                                  [](const auto* one) { return one->lacking().empty(); });
  return found != transports.end() ? **found : *transports.back();
}

std::shared_ptr<Device> Device::open(const OpenRequest& request, transport::Transport& transport,
                                     const Surroundings& around, const DeviceParts& parts,
                                     Cancellation& cancellation) {
  std::string result_file;
  const auto tell = [&](const std::optional<std::string>& failure) {
    write_result(result_file, failure, around, parts);
  };
  const auto refuse = [&](const char* code, const std::string& text, int error = 0,
                          const char* next = "") {
    tell(text);
    throw DeviceError(code, text + next, {}, error);
  };
  std::shared_ptr<Device> device;
  try {
    const auto configuration = around.images.load(request.config);
    result_file = configuration->result_file();
    device.reset(new Device(parts));
    device->open_image(*configuration,
                       request.is_read_only ? OpenMode::kReadOnly : OpenMode::kWritable,
                       request.config, around.log);
    if (!cancellation.is_cancelled()) {
      device->attached_ = transport.attach(
          device->content_, {.name = kernel_name(parts.name),
                             .is_read_only = device->is_read_only_,
                             .note = encoded({.device = parts.name,
                                              .config = request.config,
                                              .config_text = configuration->text(),
                                              .is_read_only = request.is_read_only,
                                              .opened_at = utc_now()})});
    }
  } catch (const image::ConfigError& error) {
    result_file = error.result_file();
    refuse("open-failed", error.what(), error.error(), next_step(error.error()));
  } catch (const io::FormatError& error) {
    refuse("open-failed", error.what(), error.error(), next_step(error.error()));
  } catch (const transport::TransportError& error) {
    std::string text = request.config + " cannot be attached: " + error.what();
    for (const std::string& lacking : transport.lacking()) text += "; " + lacking;
    refuse("attach-failed", text, error.error());
  }
  // Last, because it can take long as well, and then what it says must be taken back.
  if (!cancellation.is_cancelled()) tell(std::nullopt);
  if (!cancellation.finish()) {
    device.reset();
    refuse("deadline", request.config + " was not open in time and was given up", ETIMEDOUT);
  }
  device->result_file_ = result_file;
  parts.result_files->add(result_file);
  return device;
}

void Device::open_image(const ImageConfiguration& configuration, OpenMode mode,
                        const std::string& config, Log& log) {
  std::unique_ptr<Image> image = configuration.open(*parts_.reports, mode);
  if (const std::uint64_t dropped = image->dropped_entries(); dropped > 0) {
    log.warn("writes that nobody had flushed were lost, as by a loss of power",
             {{"device", parts_.name}, {"config", config}, {"droppedEntries", dropped}});
  }
  is_read_only_ = !image->is_writable();
  has_writable_layer_ = configuration.has_writable_layer();
  content_ = std::make_shared<MeteredDevice>(std::move(image), parts_.metrics, parts_.reports);
}

std::shared_ptr<Device> Device::take_over(transport::Survivor& survivor, const DeviceNote& note,
                                          const Surroundings& around, const DeviceParts& parts) {
  std::string result_file;
  const auto refuse = [&](const char* code, const std::string& text, const char* next = "") {
    write_result(result_file, text, around, parts);
    throw DeviceError(code, text + next);
  };
  std::shared_ptr<Device> device;
  try {
    const auto configuration = note.config_text.empty()
                                   ? around.images.load(note.config)
                                   : around.images.parse(note.config_text, note.config);
    result_file = configuration->result_file();
    const bool is_sealed = !note.is_read_only && configuration->is_sealed();
    const OpenMode mode = note.is_read_only ? OpenMode::kReadOnly
                          : is_sealed       ? OpenMode::kSealed
                                            : OpenMode::kWritable;
    device.reset(new Device(parts));
    device->open_image(*configuration, mode, note.config, around.log);
    // As it was when it was sealed.
    if (is_sealed) device->is_read_only_ = false;
    device->is_sealed_ = is_sealed;
    device->is_let_go_ = survivor.is_let_go();
    device->attached_ = survivor.serve(device->content_, device->is_read_only_);
  } catch (const image::ConfigError& error) {
    result_file = error.result_file();
    refuse("open-failed", error.what(), next_step(error.error()));
  } catch (const io::FormatError& error) {
    refuse("open-failed", error.what(), next_step(error.error()));
  } catch (const transport::TransportError& error) {
    refuse("attach-failed", error.what());
  }
  write_result(result_file, std::nullopt, around, parts);
  device->result_file_ = result_file;
  parts.result_files->add(result_file);
  return device;
}

Device::Closed Device::close(transport::CloseMode mode, std::chrono::milliseconds patience) {
  const Clock::time_point deadline = Clock::now() + patience;
  const auto let_go = [&] {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    return attached_->close(mode, std::max(left, std::chrono::milliseconds(0)));
  };
  const bool is_abort = mode == transport::CloseMode::kAbort;
  if (!is_read_only_ && !is_let_go_ && !is_abort) {
    if (mode == transport::CloseMode::kIfUnused) {
      const auto found = without_ourselves(attached_->users());
      if (!found.empty()) refuse_to_close(found);
    }
    // The kernel would write it as well when the last user closes the device, and tell nobody of an
    // error.
    if (!sync_until(deadline)) return {.users = without_ourselves(attached_->users())};
  }
  transport::CloseResult result = let_go();
  if (result.error != 0) refuse_to_close(result.users);
  is_let_go_ = true;
  // What is still written after an abort fails at once, and has kept the device open.
  if (is_abort && syncing_.valid() && sync_until(deadline)) result = let_go();
  Closed closed{.is_gone = result.is_gone,
                .is_left = false,
                .users = without_ourselves(std::move(result.users))};
  if (closed.is_gone) closed.flush_error = final_flush_error();
  return closed;
}

Device::Closed Device::abandon(std::chrono::milliseconds sync_patience,
                               std::chrono::milliseconds patience) {
  if (const auto left = attached_->leave(patience)) {
    return {.is_gone = left->is_gone,
            .is_left = true,
            .users = {},
            .flush_error = final_flush_error()};
  }
  const bool is_synced = is_read_only_ || sync_until(Clock::now() + sync_patience);
  // What takes too long to be written has the device open, too, so nobody else is waited for.
  transport::CloseResult result;
  if (is_synced) result = attached_->close(transport::CloseMode::kDetach, patience);
  if (!result.is_gone) {
    const std::vector<transport::DeviceUser> users = is_synced ? result.users : attached_->users();
    result = attached_->close(transport::CloseMode::kAbort, std::chrono::milliseconds(100));
    if (result.users.empty()) result.users = users;
  }
  return {.is_gone = result.is_gone,
          .is_left = false,
          .users = without_ourselves(std::move(result.users)),
          // Users that let go meanwhile had something written as well.
          .flush_error = final_flush_error()};
}

bool Device::sync_until(Clock::time_point deadline) {
  if (!syncing_.valid()) {
    syncing_ = std::async(std::launch::async, [this] { return attached_->sync(); });
  }
  if (syncing_.wait_until(deadline) != std::future_status::ready) return false;
  if (const int error = syncing_.get(); error != 0) sync_error_ = error;
  return true;
}

int Device::final_flush_error() {
  if (is_read_only_) return 0;
  if (syncing_.valid()) sync_until(Clock::time_point::max());
  const int flush_error = content_->flush();
  const int error = sync_error_ != 0 ? sync_error_ : flush_error;
  return error == -EIO && content_->change_error() != 0 ? content_->change_error() : error;
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
    throw DeviceError("failed", "device " + parts_.name + " cannot be committed to " +
                                    request.output + ": " + error.what());
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
  is_sealed_ = true;
}

void Device::resize(std::uint64_t size_bytes) {
  check_writable("resized");
  if (const std::string obstacle = attached_->resize_obstacle(); !obstacle.empty()) {
    throw DeviceError("failed", "device " + parts_.name + " cannot be resized: " + obstacle);
  }
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

void Device::refuse_to_close(const std::vector<transport::DeviceUser>& users) const {
  throw DeviceError("in-use", "device " + parts_.name + " is in use: " + described(users) +
                                  "; let go of it, or close it in the mode detach or abort",
                    users);
}

}  // namespace varve::bd
