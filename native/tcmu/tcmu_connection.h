// A TCMU device as the serving pool serves it: commands from its ring, answers into it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "scsi/disk.h"
#include "syscalls/unique_fd.h"
#include "tcmu/ring.h"
#include "tcmu/uio_device.h"
#include "transport/connection.h"

namespace varve::tcmu {

class TcmuConnection final : public transport::Connection {
 public:
  // Told once, from any thread, when there is nothing more to serve: the kernel has taken the
  // device away, or what it says makes no sense.
  using Ended = std::function<void(const std::string& reason)>;

  // Without content every request is answered with an error. Throws transport::TransportError.
  TcmuConnection(std::unique_ptr<UioDevice> device,
                 std::shared_ptr<transport::BlockDevice> content, scsi::Identity identity,
                 Ended ended);
  ~TcmuConnection() override;
  TcmuConnection(const TcmuConnection&) = delete;
  TcmuConnection& operator=(const TcmuConnection&) = delete;

  [[nodiscard]] int descriptor() const noexcept override { return epoll_.get(); }
  Served serve(const transport::RequestBuffer& buffer,
               const std::function<void()>& taken) noexcept override;

  // Whether every command has been answered.
  [[nodiscard]] bool is_idle() const noexcept;
  // From now on every request fails, also those that are being carried out.
  void abort() noexcept;
  void tell_of_size() noexcept { disk_->tell_of_size(); }
  [[nodiscard]] const std::shared_ptr<transport::ConnectionEnd>& end() const noexcept {
    return end_;
  }

 private:
  // A command that was taken and has not been answered. The number is never used again, unlike the
  // kernel's.
  struct Carried {
    std::uint64_t number = 0;
    std::uint16_t id = 0;
  };

  Served take(RingCommand& command, std::uint64_t& number);
  void complete(std::uint64_t number, const scsi::Outcome& outcome) noexcept;
  void tell_end(const std::string& reason) noexcept;

  std::unique_ptr<UioDevice> device_;
  std::unique_ptr<scsi::Disk> disk_;
  Ended ended_;
  std::atomic<bool> has_told_end_ = false;
  std::atomic<bool> is_aborted_ = false;
  std::shared_ptr<transport::ConnectionEnd> end_ = std::make_shared<transport::ConnectionEnd>();

  // Readable while the kernel has told of something that nobody has listened to, or there are
  // commands that it has told of already. While there are commands, one of both holds.
  UniqueFd epoll_;
  UniqueFd more_event_;

  mutable std::mutex mutex_;  // for what follows
  Ring ring_;
  bool is_more_told_ = false;
  std::vector<Carried> carried_;
  std::uint64_t taken_count_ = 0;
};

}  // namespace varve::tcmu
