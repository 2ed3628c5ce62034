// A ublk device as the serving pool serves it: requests from its queue, their data by its character
// device, answers to its queue.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "syscalls/unique_fd.h"
#include "transport/block_device.h"
#include "transport/connection.h"
#include "ublk/queue.h"

namespace varve::ublk {

class UblkConnection final : public transport::Connection {
 public:
  // Throws transport::TransportError.
  UblkConnection(std::shared_ptr<transport::BlockDevice> content, bool is_read_only,
                 unsigned depth);
  ~UblkConnection() override;
  UblkConnection(const UblkConnection&) = delete;
  UblkConnection& operator=(const UblkConnection&) = delete;

  // Fetches requests from the character device. For once. Throws transport::TransportError.
  void begin(UniqueFd device);
  // Fetches no more, and moves no more data: what is not answered the kernel keeps, and what is
  // still being carried out is of no consequence to it. From any thread.
  void end() noexcept;

  [[nodiscard]] int descriptor() const noexcept override { return event_.get(); }
  Served serve(const transport::RequestBuffer& buffer,
               const std::function<void()>& taken) noexcept override;

  [[nodiscard]] const std::shared_ptr<transport::ConnectionEnd>& ended() const noexcept {
    return end_;
  }
  // Whether nobody serves the device any more, though what hangs may still be under way.
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }

 private:
  class Mover;

  void fetched(std::span<const FetchedRequest> requests);
  void set_over() noexcept;
  Served take(FetchedRequest& request) noexcept;

  std::shared_ptr<transport::BlockDevice> content_;
  const bool is_read_only_;
  std::atomic<bool> is_over_ = false;
  std::shared_ptr<transport::ConnectionEnd> end_ = std::make_shared<transport::ConnectionEnd>();

  // Shared while data are moved: the kernel is not to take a request back in between.
  std::shared_mutex device_mutex_;
  UniqueFd device_;

  // Readable while there are requests, and after the end.
  UniqueFd event_;
  std::mutex mutex_;  // for what follows
  std::deque<FetchedRequest> requests_;

  Queue queue_;  // uses what is above
};

}  // namespace varve::ublk
