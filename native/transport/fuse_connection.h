// One FUSE connection: the descriptor of /dev/fuse and the content that it serves. Its end (the
// object is destroyed: descriptor closed, content let go) is told to whoever waits for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "syscalls/unique_fd.h"
#include "transport/block_device.h"
#include "transport/fuse_protocol.h"
#include "transport/request_buffer.h"

namespace varve::transport {

// Outlives the connection.
class ConnectionEnd {
 public:
  void set() noexcept;
  // Whether the connection has ended within `patience`.
  bool wait(std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_ended_ = false;
};

class FuseConnection {
 public:
  FuseConnection(UniqueFd fuse, std::shared_ptr<BlockDevice> content, bool is_read_only);
  ~FuseConnection();
  FuseConnection(const FuseConnection&) = delete;
  FuseConnection& operator=(const FuseConnection&) = delete;

  enum class Received { kRequest, kNothing, kEnd };

  // Takes one request from the kernel, if there is one. Never blocks. For any thread, like answer.
  Received receive(const RequestBuffer& buffer, std::size_t& request_bytes) const noexcept;
  // Carries it out and replies.
  void answer(const RequestBuffer& buffer, std::size_t request_bytes) noexcept;
  // Makes the kernel forget the attributes that it keeps, the size among them.
  [[nodiscard]] int invalidate_attributes() const noexcept;

  [[nodiscard]] int descriptor() const noexcept { return fuse_.get(); }
  [[nodiscard]] const std::shared_ptr<ConnectionEnd>& end() const noexcept { return end_; }

 private:
  UniqueFd fuse_;
  std::shared_ptr<BlockDevice> content_;
  FuseProtocol protocol_;
  std::shared_ptr<ConnectionEnd> end_ = std::make_shared<ConnectionEnd>();
};

}  // namespace varve::transport
