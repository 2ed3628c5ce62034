// What the serving pool serves: a descriptor from which requests of the kernel come. Its end (the
// object is destroyed) is told to whoever waits for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

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

class Connection {
 public:
  enum class Served { kRequest, kNothing, kEnd };

  virtual ~Connection() = default;

  // Readable while there may be a request, and at the kernel's end of the connection.
  [[nodiscard]] virtual int descriptor() const noexcept = 0;
  // Takes one request from the kernel, if there is one, and carries it out; only that may block.
  // For several threads at once, each with a buffer of its own. `taken` is called in between:
  // others may take the next request then.
  virtual Served serve(const RequestBuffer& buffer,
                       const std::function<void()>& taken) noexcept = 0;
};

}  // namespace varve::transport
