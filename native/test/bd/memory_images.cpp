#include "test/bd/memory_images.h"

#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace varve::test {

void Stall::pass() noexcept {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !is_closed_; });
  --waiting_;
}

void Stall::close() noexcept {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
}

void Stall::open() noexcept {
  const std::lock_guard lock(mutex_);
  is_closed_ = false;
  changed_.notify_all();
}

void Stall::wait_for(unsigned waiting) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_ >= waiting; });
}

void MemoryImage::finish() {
  is_finishing_ = true;
  if (writes_inside > 0) ++images_->overlaps;
  images_->commits.pass();
  is_finishing_ = false;
}

void MemoryImage::seal() {
  if (images_ != nullptr) finish();
}

void MemoryImage::commit(const lsmt::LayerOptions&, const lsmt::Output& output) {
  if (images_ != nullptr) {
    images_->is_committed_by_flusher = ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1;
    finish();
    if (const int failure = images_->commit_error; failure != 0) {
      throw io::FormatError(failure, std::string("cannot write the layer: ") + strerror(failure));
    }
  }
  constexpr std::array<std::byte, 512> kBytes{};
  for (int turn = 0; turn < 4; ++turn) {
    if (const int result = output(kBytes); result != 0) {
      throw io::FormatError(-result, "the output failed");
    }
  }
  if (error != 0) throw io::FormatError(-error, "a layer cannot be read");
}

int MemoryImage::resize(std::uint64_t size_bytes) {
  if (error == 0) size_ = size_bytes;
  return error;
}

int MemoryImage::write(std::span<const std::byte>, std::uint64_t) noexcept {
  ++writes_inside;
  if (is_finishing_) ++images_->overlaps;
  writes.pass();
  --writes_inside;
  return error;
}

namespace {

class MemoryConfiguration final : public bd::ImageConfiguration {
 public:
  MemoryConfiguration(std::string path, const MemoryImages& images)
      : path_(std::move(path)), images_(images) {}

  [[nodiscard]] const std::string& result_file() const noexcept override {
    return images_.result_file;
  }
  [[nodiscard]] const std::string& text() const noexcept override { return path_; }
  [[nodiscard]] bool is_sealed() const override { return false; }
  [[nodiscard]] bool has_writable_layer() const noexcept override { return has("writable"); }
  [[nodiscard]] std::unique_ptr<bd::Image> open(io::DamageListener&,
                                                bd::OpenMode mode) const override {
    if (has("slow")) images_.opens.pass();
    if (has("absent")) throw io::FormatError(ENOENT, path_ + ": its layer is not there");
    return std::make_unique<MemoryImage>(has_writable_layer() && mode == bd::OpenMode::kWritable,
                                         &images_);
  }

 private:
  [[nodiscard]] bool has(const char* word) const { return path_.find(word) != std::string::npos; }

  std::string path_;
  const MemoryImages& images_;
};

}  // namespace

std::unique_ptr<bd::ImageConfiguration> MemoryImages::load(const std::string& path) const {
  return std::make_unique<MemoryConfiguration>(path, *this);
}

std::unique_ptr<bd::ImageConfiguration> MemoryImages::parse(const std::string&,
                                                            const std::string& path) const {
  return load(path);
}

class MemoryAttached final : public transport::AttachedDevice {
 public:
  MemoryAttached(MemoryTransport& transport, std::shared_ptr<transport::BlockDevice> content)
      : transport_(transport),
        content_(std::move(content)),
        path_("/dev/memory" + std::to_string(transport.next_++)) {
    ++transport_.attached_;
  }
  ~MemoryAttached() override { --transport_.attached_; }

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] bool has_direct_io() const noexcept override { return true; }
  [[nodiscard]] std::vector<transport::DeviceUser> users() const override {
    if (!transport_.is_used_) return {};
    return {{transport::DeviceUser::Kind::kDescriptor, 12, "process 12 (cat) has it open"}};
  }
  [[nodiscard]] bool has_ended() const override {
    ++transport_.look_count_;
    return !transport_.is_used_;
  }
  [[nodiscard]] bool outlives_process() const noexcept override { return transport_.outlives; }
  [[nodiscard]] int resized() override { return 0; }
  [[nodiscard]] int sync() override {
    ++transport_.sync_count_;
    transport_.syncs.pass();
    return is_aborted_ ? -EIO : content_->flush();
  }
  transport::CloseResult close(transport::CloseMode mode,
                               std::chrono::milliseconds patience) override {
    ++transport_.close_count_;
    transport::CloseResult result;
    result.users = users();
    if (mode == transport::CloseMode::kIfUnused && !result.users.empty()) {
      result.error = -EBUSY;
      return result;
    }
    if (mode == transport::CloseMode::kAbort) {
      ++transport_.aborts_;
      is_aborted_ = true;
      transport_.syncs.open();
    } else {
      std::unique_lock lock(transport_.mutex_);
      ++transport_.waits_;
      transport_.changed_.wait_for(lock, patience, [this] { return !transport_.is_used_; });
    }
    result.users = users();
    result.is_gone = result.users.empty();
    return result;
  }
  std::optional<transport::CloseResult> leave(std::chrono::milliseconds /*patience*/) override {
    if (!transport_.keeps_devices) return std::nullopt;
    return transport::CloseResult{.error = 0, .is_gone = true, .users = {}};
  }

 private:
  MemoryTransport& transport_;
  std::shared_ptr<transport::BlockDevice> content_;
  std::string path_;
  std::atomic<bool> is_aborted_ = false;
};

void MemoryTransport::use(bool is_used) noexcept {
  const std::lock_guard lock(mutex_);
  is_used_ = is_used;
  changed_.notify_all();
}

std::shared_ptr<transport::BlockDevice> MemoryTransport::last_content() const {
  const std::lock_guard lock(mutex_);
  return last_content_.lock();
}

std::unique_ptr<transport::AttachedDevice> MemoryTransport::attach(
    std::shared_ptr<transport::BlockDevice> content, const transport::AttachOptions&) {
  {
    const std::lock_guard lock(mutex_);
    last_content_ = content;
  }
  return std::make_unique<MemoryAttached>(*this, std::move(content));
}

}  // namespace varve::test
