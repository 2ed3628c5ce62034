#include "ublk/ublk_device.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <thread>
#include <utility>

#include "transport/kernel_files.h"
#include "transport/loop_device.h"
#include "transport/own_descriptors.h"
#include "ublk/claim.h"
#include "ublk/request.h"

namespace varve::ublk {

namespace {

using transport::CloseMode;
using transport::CloseResult;
using transport::DeviceUser;
using transport::TransportError;

// More requests than the pool carries out of one device at a time.
constexpr std::uint16_t kDepth = 64;
// How long the kernel may take to give a device free whose daemon has ended, and how often it is
// asked.
constexpr std::chrono::milliseconds kQuiescePatience{5'000};
constexpr std::chrono::milliseconds kPause{2};
// Setting up the kernel's queue waits for requests that are under way.
constexpr std::chrono::milliseconds kSetUpPatience{1'000};
// How often a device that was let go of is looked at, and while a close waits for that.
constexpr std::chrono::milliseconds kLookInterval{1'000};
constexpr std::chrono::milliseconds kClosePause{100};

[[noreturn]] void fail(const std::string& step, int error) {
  throw TransportError(error, step + ": " + std::strerror(error));
}

void check(const std::string& step, int result) {
  if (result != 0) fail(step, -result);
}

std::string queue_folder(std::uint32_t number) {
  return "/sys/block/ublkb" + std::to_string(number) + "/queue/";
}

// Of the device that the kernel calls so, and nothing else under that path.
struct stat status_of(const std::string& path, mode_t kind, const std::string& numbers_file) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail(path + " (let this process see the /dev of the machine)", errno);
  }
  const std::string numbers =
      std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
  if ((status.st_mode & S_IFMT) != kind || numbers != transport::read_line(numbers_file)) {
    fail(path + " is not the device that the kernel calls so", ENODEV);
  }
  return status;
}

UniqueFd open_character(std::uint32_t number) {
  const std::string name = "ublkc" + std::to_string(number);
  const std::string path = "/dev/" + name;
  status_of(path, S_IFCHR, "/sys/class/ublk-char/" + name + "/dev");
  UniqueFd device(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!device) fail("open " + path, errno);
  return device;
}

// The kernel takes requests back from a daemon that dies by the commands that have none. So one
// always is to be left; and a scheduler would have the limit for itself.
void set_up_queue(std::uint32_t number) {
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> is_done = done->get_future();
  std::thread([number, done] {
    const transport::OwnDescriptors own;
    static_cast<void>(transport::write_text(queue_folder(number) + "scheduler", "none"));
    static_cast<void>(
        transport::write_text(queue_folder(number) + "nr_requests", std::to_string(kDepth - 1)));
    done->set_value();
  }).detach();
  is_done.wait_for(kSetUpPatience);
}

// Whether it is still that device. A number may belong to another one by now.
bool is_still(Control& control, std::uint32_t number, std::uint64_t cookie,
              DeviceInfo& info) noexcept {
  return control.info(number, info) == 0 && info.cookie == cookie;
}

}  // namespace

std::string block_path(std::uint32_t number) { return "/dev/ublkb" + std::to_string(number); }

int take_away(Control& control, std::uint32_t number, const Notes& notes,
              std::uint64_t cookie) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + kQuiescePatience;
  DeviceInfo info;
  // The kernel waits for requests that a living daemon has, which may be for ever.
  while (is_still(control, number, cookie, info) && info.state == DeviceState::kLive &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPause);
  }
  if (is_still(control, number, cookie, info)) {
    int error = control.stop(number);
    if (error == 0) error = control.remove(number);
    if (error != 0 && error != -ENODEV) return error;
  }
  notes.remove(cookie);
  return 0;
}

UblkDevice::UblkDevice(UblkSurroundings around,
                       const std::shared_ptr<transport::BlockDevice>& content,
                       const transport::AttachOptions& options)
    : around_(std::move(around)),
      note_{.cookie = random_cookie(),
            .stage = Note::Stage::kMade,
            .is_read_only = options.is_read_only,
            .note = options.note},
      content_(content) {
  Control control;
  around_.notes.write(note_);
  DeviceInfo info{.queue_count = 1,
                  .queue_depth = kDepth,
                  .request_bytes_max = transport::RequestBuffer::kPayloadBytes,
                  .flags = kNeededFlags,
                  .cookie = note_.cookie};
  if (const int error = control.add(info); error != 0) {
    around_.notes.remove(note_.cookie);
    fail("adding a ublk device", -error);
  }
  number_ = info.number;
  path_ = block_path(number_);
  try {
    if ((info.flags & kNeededFlags) != kNeededFlags || info.queue_depth != kDepth) {
      fail("the kernel's ublk cannot do what is needed", EOPNOTSUPP);
    }
    make(control, content, options);
  } catch (...) {
    stop_serving();
    static_cast<void>(take_away(control, number_, around_.notes, note_.cookie));
    throw;
  }
}

void UblkDevice::make(Control& control, const std::shared_ptr<transport::BlockDevice>& content,
                      const transport::AttachOptions& options) {
  check("the parameters of a ublk device",
        control.set_parameters(
            number_, parameters_of(content->size(), options.is_read_only, options.block_size_bytes,
                                   transport::RequestBuffer::kPayloadBytes)));
  serve(content, kDepth);
  check("starting a ublk device", control.start(number_));
  look();
  set_up_queue(number_);
  note_.stage = Note::Stage::kAttached;
  around_.notes.write(note_);
}

UblkDevice::UblkDevice(UblkSurroundings around, std::uint32_t number, const Note& note,
                       const std::shared_ptr<transport::BlockDevice>& content)
    : around_(std::move(around)),
      note_(note),
      number_(number),
      path_(block_path(number)),
      content_(content),
      is_let_go_(note.stage == Note::Stage::kLetGo) {
  Control control;
  DeviceInfo info;
  if (!is_still(control, number_, note_.cookie, info)) fail(path_ + " is gone", ENODEV);
  if ((info.flags & kNeededFlags) != kNeededFlags || info.queue_count != 1 ||
      info.request_bytes_max > transport::RequestBuffer::kPayloadBytes) {
    fail(path_ + " was made by another version", EPROTO);
  }
  look();
  check_size(*content);
  const auto deadline = Clock::now() + kQuiescePatience;
  int error = control.start_recovery(number_);
  while (error == -EBUSY && Clock::now() < deadline) {
    std::this_thread::sleep_for(kPause);
    error = control.start_recovery(number_);
  }
  // A predecessor that has begun, and died before it had fetched anything, has done this already.
  const bool was_begun = error == -EINVAL && is_still(control, number_, note_.cookie, info) &&
                         info.state == DeviceState::kQuiesced;
  if (!was_begun) check("taking over " + path_, error);
  try {
    serve(content, info.queue_depth);
    check("taking over " + path_, control.end_recovery(number_));
  } catch (...) {
    stop_serving();
    throw;
  }
  if (!note_.is_read_only) static_cast<void>(resized());
}

UblkDevice::~UblkDevice() { shut_down(); }

void UblkDevice::serve(const std::shared_ptr<transport::BlockDevice>& content, unsigned depth) {
  const auto connection = std::make_shared<UblkConnection>(content, note_.is_read_only, depth);
  connection_ = connection;
  end_ = connection->ended();
  connection->begin(open_character(number_));
  id_ = around_.pool->add(connection);
}

void UblkDevice::stop_serving() noexcept {
  if (const auto connection = connection_.lock(); connection != nullptr) connection->end();
  if (id_ != 0) around_.pool->remove(id_);
}

void UblkDevice::look() {
  const std::string numbers_file = "/sys/block/ublkb" + std::to_string(number_) + "/dev";
  device_ = status_of(path_, S_IFBLK, numbers_file).st_rdev;
}

void UblkDevice::check_size(const transport::BlockDevice& content) {
  const std::string sectors =
      transport::read_line("/sys/block/ublkb" + std::to_string(number_) + "/size");
  if (sectors == std::to_string(content.size() / kSectorBytes)) return;
  // The layer of a writable one knows better: it may have got another size before the kernel did.
  if (!note_.is_read_only && resize_obstacle().empty()) return;
  throw TransportError(EIO, path_ + " has " + sectors + " sectors of 512 bytes, and its image has " +
                                std::to_string(content.size()) + " bytes");
}

std::vector<DeviceUser> UblkDevice::users() const {
  return is_taken_away_ && !is_left() ? std::vector<DeviceUser>()
                                      : transport::find_lasting_users(device_);
}

bool UblkDevice::has_ended() const {
  if (is_let_go_ && Clock::now() >= next_look_.load()) return true;
  const auto connection = connection_.lock();
  return connection == nullptr || connection->is_over();
}

std::string UblkDevice::resize_obstacle() const {
  std::uint64_t features = 0;
  try {
    Control control;
    if (control.features(features) == 0 && (features & kCanUpdateSize) != 0) return {};
  } catch (const TransportError& error) {
    return error.what();
  }
  return "the kernel's ublk cannot change the size of a device that is there (Linux 6.16 can): "
         "close it, and resize it when it is opened with the transport fuse";
}

int UblkDevice::resized() {
  const auto content = content_.lock();
  if (content == nullptr || is_taken_away_) return -ENODEV;
  try {
    Control control;
    return control.update_size(number_, content->size() / kSectorBytes);
  } catch (const TransportError& failure) {
    return -failure.error();
  }
}

int UblkDevice::sync() {
  if (is_taken_away_) return 0;
  return transport::with_own_descriptors([this] {
    const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status = {};
    const bool is_it = file && ::fstat(file.get(), &status) == 0 && status.st_rdev == device_;
    return is_it ? transport::sync_block_device(file.get()) : 0;
  });
}

CloseResult UblkDevice::close(CloseMode mode, std::chrono::milliseconds patience) {
  const std::lock_guard lock(mutex_);
  CloseResult result;
  const auto deadline = Clock::now() + patience;
  if (mode == CloseMode::kAbort) {
    shut_down();
  } else if (!is_taken_away_) {
    const bool has_lingered = is_let_go_;
    if (mode == CloseMode::kDetach && !has_lingered) {
      is_let_go_ = true;
      set_stage(Note::Stage::kLetGo);
    }
    result.users = take_away_unused(!has_lingered || patience > std::chrono::milliseconds(0));
    while (!result.users.empty() && mode == CloseMode::kDetach && Clock::now() < deadline) {
      std::this_thread::sleep_for(kClosePause);
      result.users = take_away_unused(false);
    }
    next_look_ = Clock::now() + kLookInterval;
    if (!result.users.empty()) {
      if (mode == CloseMode::kIfUnused) result.error = -EBUSY;
      return result;
    }
  }
  await_end(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()), result);
  return result;
}

// Mounts, swap and whoever builds on it claim a device for themselves, so none of them can come in
// between. Who only opens it can, and gets errors.
std::vector<DeviceUser> UblkDevice::take_away_unused(bool looks_again) {
  const Claim claim(path_);
  // Looking for users takes a look at every process.
  if (claim.error() == EBUSY && !looks_again && !last_users_.empty()) return last_users_;
  std::vector<DeviceUser> users = transport::find_lasting_users(device_);
  if (claim.error() == EBUSY && users.empty()) {
    users.push_back({.text = "somebody who cannot be found has it open"});
  }
  if (users.empty()) shut_down();
  last_users_ = users;
  return users;
}

// A note that cannot be written makes a successor serve the device on, which does no harm.
void UblkDevice::set_stage(Note::Stage stage) noexcept {
  try {
    note_.stage = stage;
    around_.notes.write(note_);
  } catch (const std::exception&) {
    // See above.
  }
}

void UblkDevice::shut_down() noexcept {
  if (is_taken_away_) return;
  set_stage(Note::Stage::kEnding);
  // Requests that hang would keep the kernel from stopping it, so they are given back first.
  stop_serving();
  try {
    Control control;
    is_taken_away_ = take_away(control, number_, around_.notes, note_.cookie) == 0;
  } catch (const std::exception&) {
    // Tried again when it is closed again.
  }
}

bool UblkDevice::is_left() const noexcept {
  try {
    Control control;
    DeviceInfo info;
    return is_still(control, number_, note_.cookie, info);
  } catch (const std::exception&) {
    return true;
  }
}

void UblkDevice::await_end(std::chrono::milliseconds patience, CloseResult& result) const {
  const auto deadline = Clock::now() + patience;
  const bool has_content_ended = end_->wait(std::max(patience, std::chrono::milliseconds(0)));
  bool is_kernels_left = is_left();
  while (is_kernels_left && Clock::now() < deadline) {
    std::this_thread::sleep_for(5 * kPause);
    is_kernels_left = is_left();
  }
  result.is_gone = has_content_ended && !is_kernels_left;
  if (is_kernels_left) result.users = transport::find_device_users(device_);
  if (is_kernels_left && result.users.empty() && is_left()) {
    result.users.push_back({.text = "somebody who cannot be found has it open"});
  }
}

}  // namespace varve::ublk
