// Images in memory and a transport without a kernel, with whatever can go wrong to order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bd/image.h"
#include "transport/transport.h"

namespace varve::test {

// Where work waits until it is let go.
class Stall {
 public:
  void pass() noexcept;
  void close() noexcept;
  void open() noexcept;
  void wait_for(unsigned waiting);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_closed_ = false;
  unsigned waiting_ = 0;
};

class MemoryImages;

class MemoryImage final : public bd::Image {
 public:
  explicit MemoryImage(bool is_writable, const MemoryImages* images = nullptr)
      : is_writable_(is_writable), images_(images) {}

  [[nodiscard]] bool is_writable() const noexcept override { return is_writable_; }
  [[nodiscard]] std::size_t layer_count() const noexcept override { return 1; }
  void commit(const lsmt::LayerOptions& options, const lsmt::Output& output) override;
  void seal() override;
  [[nodiscard]] int resize(std::uint64_t size_bytes) override;

  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] int read(std::span<std::byte>, std::uint64_t) noexcept override { return error; }
  [[nodiscard]] int write(std::span<const std::byte>, std::uint64_t) noexcept override;
  [[nodiscard]] int discard(std::uint64_t, std::uint64_t) noexcept override { return error; }
  [[nodiscard]] int write_zeroes(std::uint64_t, std::uint64_t) noexcept override { return error; }
  [[nodiscard]] int flush() noexcept override { return error; }

  std::atomic<int> error = 0;  // what every request answers
  Stall writes;
  std::atomic<unsigned> writes_inside = 0;

 private:
  void finish();

  bool is_writable_;
  const MemoryImages* images_;
  std::atomic<bool> is_finishing_ = false;
  std::atomic<std::uint64_t> size_ = 1U << 20;
};

// Every path is an image; those with these words in them are special: "absent" cannot be opened,
// "slow" waits at `opens`, "writable" is writable. Commits and seals wait at
// `commits`.
class MemoryImages final : public bd::ImageSource {
 public:
  [[nodiscard]] std::unique_ptr<bd::ImageConfiguration> load(
      const std::string& path) const override;
  [[nodiscard]] std::unique_ptr<bd::ImageConfiguration> parse(
      const std::string& text, const std::string& path) const override;

  mutable Stall opens;
  mutable Stall commits;
  std::atomic<int> commit_error = 0;
  mutable std::atomic<bool> is_committed_by_flusher = false;
  mutable std::atomic<unsigned> overlaps = 0;  // of a write and a commit or a seal
  std::string result_file;
};

class MemoryTransport final : public transport::Transport {
 public:
  explicit MemoryTransport(std::string name = "memory") : name_(std::move(name)) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::vector<std::string> lacking() const override {
    return is_missing ? std::vector<std::string>{"there is no " + name_} : std::vector<std::string>();
  }
  [[nodiscard]] bool outlives_process() const noexcept override { return outlives; }
  std::unique_ptr<transport::AttachedDevice> attach(
      std::shared_ptr<transport::BlockDevice> content,
      const transport::AttachOptions& options) override;

  // Gives every device a user, or none. A close waits for it, an abort does not.
  void use(bool is_used) noexcept;
  Stall syncs;  // which an abort lets go, with an error
  // Whether the kernel would keep its devices for another process.
  std::atomic<bool> keeps_devices = false;
  std::atomic<bool> outlives = false;    // the same without being told
  std::atomic<bool> is_missing = false;  // from the machine
  [[nodiscard]] unsigned attached() const noexcept { return attached_; }
  // How often a device was asked to close, and whether it has ended.
  [[nodiscard]] unsigned close_count() const noexcept { return close_count_; }
  [[nodiscard]] unsigned look_count() const noexcept { return look_count_; }

  // Of the device that was attached last.
  [[nodiscard]] std::shared_ptr<transport::BlockDevice> last_content() const;
  // How often it was asked to write out, to wait for users, to fail them.
  [[nodiscard]] unsigned sync_count() const noexcept { return sync_count_; }
  [[nodiscard]] unsigned waits() const noexcept { return waits_; }
  [[nodiscard]] unsigned aborts() const noexcept { return aborts_; }

 private:
  friend class MemoryAttached;
  const std::string name_;
  std::atomic<bool> is_used_ = false;
  std::atomic<unsigned> attached_ = 0;
  std::atomic<unsigned> close_count_ = 0;
  std::atomic<unsigned> look_count_ = 0;
  std::atomic<unsigned> next_ = 0;
  std::atomic<unsigned> sync_count_ = 0;
  std::atomic<unsigned> waits_ = 0;
  std::atomic<unsigned> aborts_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::weak_ptr<transport::BlockDevice> last_content_;
};

}  // namespace varve::test
