#include "transport/fuse_device.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "transport/own_descriptors.h"

namespace varve::transport {

namespace {

[[noreturn]] void fail(const std::string& step, int error) {
  throw TransportError(error, step + ": " + std::strerror(error));
}

// The kernel keeps a file's size and asks again only when it is told to.
void take_size(int file, std::uint64_t expected_bytes) {
  struct stat status = {};
  if (::fstat(file, &status) != 0) fail("fstat of the FUSE file", errno);
  if (static_cast<std::uint64_t>(status.st_size) != expected_bytes) {
    throw TransportError(EIO, "the kernel did not take over the size of the FUSE file");
  }
}

// Not one of a predecessor, either: its requests may still lie beside ours.
std::uint64_t random_key() {
  std::uint64_t key = 0;
  if (::getrandom(&key, sizeof key, 0) != sizeof key) fail("getrandom", errno);
  return key;
}

}  // namespace

std::string FuseDevice::place_name(std::uint64_t key) {
  std::array<char, 32> name = {};
  static_cast<void>(std::snprintf(name.data(), name.size(), "%s%016llx", kPlacePrefix,
                                  static_cast<unsigned long long>(key)));
  return name.data();
}

FuseDevice::FuseDevice(const FuseSurroundings& around, UniqueFd fuse,
                       std::shared_ptr<BlockDevice> content, const AttachOptions& options)
    : around_(around), content_(content) {
  record_.key = random_key();
  record_.is_read_only = options.is_read_only;
  record_.note = options.note;
  mount_.emplace(fuse.get(), options.name, options.is_read_only);
  record_.fuse_device = mount_->device();
  const auto connection = std::make_shared<FuseConnection>(
      std::move(fuse), content,
      FuseConnection::Options{.is_read_only = options.is_read_only,
                              .key = record_.key,
                              .wants_resend = around.uses_resend});
  connection->set_place({around.parking, place_name(record_.key)});
  serve(connection);
  try {
    const UniqueFd file = mount_->open_file();
    take_size(file.get(), content->size());
    loop_.emplace(file.get(), LoopOptions{.name = options.name,
                                          .is_read_only = options.is_read_only,
                                          .block_size_bytes = options.block_size_bytes});
    record_.path = loop_->path();
    record_.loop_device = loop_->device();
    record_.has_resend = connection->has_resend();
    has_direct_io_ = loop_->has_direct_io();
    park();
  } catch (...) {
    around_.pool->remove(id_);
    throw;
  }
}

FuseDevice::FuseDevice(const FuseSurroundings& around, LeftDevice& left,
                       const LeftRequests& requests, std::shared_ptr<BlockDevice> content)
    : around_(around), record_(left.record), content_(content) {
  if (left.loop) {
    // Of copies: the originals stay where they are until nothing can fail any more.
    mount_.emplace(UniqueFd(::dup(left.mount.get())), record_.is_read_only);
    loop_.emplace(UniqueFd(::dup(left.loop.get())), record_.path);
    has_direct_io_ = loop_->has_direct_io();
    // The layer of a writable one knows better: it may have got another size before the kernel did.
    if (record_.is_read_only && loop_->size() != content->size()) {
      throw TransportError(EIO, record_.path + " has " + std::to_string(loop_->size()) +
                                    " bytes, and its image has " +
                                    std::to_string(content->size()));
    }
  }
  const auto connection = std::make_shared<FuseConnection>(
      UniqueFd(::dup(left.fuse.get())), content,
      FuseConnection::Options{.is_read_only = record_.is_read_only, .key = record_.key});
  if (!record_.has_resend || connection->ask_again() != 0) {
    for (const auto& request : requests) connection->answer_left(*request);
  }
  serve(connection);
  // Nothing can fail any more.
  connection->set_place(std::move(left.place));
  connection->park(std::move(left.record_file), loop_descriptors());
  left.fuse.reset();
  left.mount.reset();
  left.loop.reset();
  if (loop_ && loop_->size() != content->size()) static_cast<void>(resized());
}

void FuseDevice::serve(const std::shared_ptr<FuseConnection>& connection) {
  connection_ = connection;
  end_ = connection->end();
  id_ = around_.pool->add(connection);
}

void FuseDevice::park() {
  if (const auto connection = connection_.lock(); connection != nullptr) {
    connection->park(write_record(record_), loop_descriptors());
  }
}

std::vector<int> FuseDevice::loop_descriptors() const {
  if (!loop_) return {};
  return {mount_->descriptor(), loop_->descriptor()};
}

std::vector<DeviceUser> FuseDevice::users() const {
  const std::lock_guard lock(mutex_);
  return loop_ || has_loop() ? lasting_users() : std::vector<DeviceUser>();
}

int FuseDevice::resized() {
  const std::lock_guard lock(mutex_);
  const auto connection = connection_.lock();
  const auto content = content_.lock();
  if (!loop_ || connection == nullptr || content == nullptr) return -ENODEV;
  if (const int error = connection->invalidate_attributes(); error != 0) return error;
  try {
    take_size(mount_->open_file().get(), content->size());
  } catch (const TransportError& failure) {
    return -failure.error();
  }
  return loop_->update_size();
}

int FuseDevice::sync() {
  if (!has_loop()) return 0;
  // A thread that waits for our own connection must not be what keeps that from ending with us.
  return with_own_descriptors([this] {
    // Opened anew: closing need not wait for this, and one that was detached can still be in use.
    const UniqueFd loop = open_loop_on(record_.path, record_.fuse_device);
    return loop ? sync_block_device(loop.get()) : 0;
  });
}

CloseResult FuseDevice::close(CloseMode mode, std::chrono::milliseconds patience) {
  const std::lock_guard lock(mutex_);
  CloseResult result;
  if (mode == CloseMode::kIfUnused && loop_) {
    result.users = lasting_users();
    if (!result.users.empty()) {
      result.error = -EBUSY;
      return result;
    }
  }
  // Before letting go: the kernel writes what it holds of a device whose last user closes it.
  if (mode == CloseMode::kAbort) abort();
  let_go();
  // An aborted connection ends at once, but the loop device stays until its users let go of it.
  const bool has_ended = end_->wait(patience);
  const bool is_still_there = has_loop();
  result.is_gone = has_ended && !is_still_there;
  if (is_still_there) result.users = find_device_users(record_.loop_device);
  if (is_still_there && result.users.empty() && has_loop()) {
    result.users.push_back({.text = "somebody who cannot be found has it open"});
  }
  return result;
}

void FuseDevice::let_go() noexcept {
  if (!loop_) return;
  // The holder first: whoever closes the device last waits for what the kernel then writes.
  std::optional<LoopDevice> loop = std::exchange(loop_, std::nullopt);
  std::optional<FuseMount> mount = std::exchange(mount_, std::nullopt);
  try {
    park();
  } catch (const std::exception&) {
    // Without memory; then it is parked no more.
    if (const auto connection = connection_.lock(); connection != nullptr) connection->unpark();
  }
}

void FuseDevice::abort() noexcept {
  if (has_ended()) return;
  is_aborted_ = true;
  static_cast<void>(abort_fuse_connection(record_.fuse_device));
  // Without fusectl the end of the only descriptor does the same.
  around_.pool->remove(id_);
}

// Once the connection has ended by itself, the loop device is gone, and the numbers of both may be
// another device's by now.
bool FuseDevice::has_loop() const {
  return (is_aborted_ || !has_ended()) && is_loop_on(record_.path, record_.fuse_device);
}

std::vector<DeviceUser> FuseDevice::lasting_users() const {
  return find_lasting_users(record_.loop_device,
                            {.own_descriptor = loop_ ? loop_->descriptor() : -1,
                             .process = loop_ ? holding_process() : 0});
}

int FuseDevice::holding_process() const noexcept {
  return around_.parking == nullptr ? 0 : around_.parking->process();
}

}  // namespace varve::transport
