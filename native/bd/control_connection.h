// One client of the control socket: lines in, lines out. It belongs to the thread that runs the
// io_context.
//
// What it keeps is bounded: a line, the requests that are under way, the replies that were not read
// (nothing is read from a client that leaves too many), and the events that wait.
#pragma once

#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bd/service.h"

namespace varve::bd {

class ControlConnection : public std::enable_shared_from_this<ControlConnection> {
 public:
  using Socket = asio::local::stream_protocol::socket;
  using Ended = std::function<void(const std::shared_ptr<ControlConnection>&)>;

  // The service outlives this. `ended` is called once.
  ControlConnection(Socket socket, Service& service, Ended ended);

  void begin() { read(); }
  // For clients that find no place: says so and closes, once the client has had the time to read it.
  void refuse(const std::string& code, const std::string& message);
  // An event, if this client listens. The line is shared by all who do.
  void publish(const std::shared_ptr<const std::string>& line);
  // Whether everything was written that there is to write.
  [[nodiscard]] bool is_drained() const noexcept { return unwritten_.empty() && events_.empty(); }
  void close();

 private:
  void read();
  void take_lines();
  void take(std::string_view line);
  void send(std::optional<std::uint64_t> id, Json document);
  void send_line(std::shared_ptr<const std::string> line);
  void write();
  std::shared_ptr<const std::string> next_line();
  void end_if_done();
  void linger();
  void drop_input();

  Socket socket_;
  Service& service_;
  Ended ended_;
  std::string received_;  // what was read and is not yet handled
  bool is_reading_ = false;
  bool has_input_ended_ = false;
  bool is_writing_ = false;
  bool is_listening_ = false;
  bool is_refused_ = false;
  std::size_t under_way_ = 0;
  std::deque<std::shared_ptr<const std::string>> unwritten_;
  std::size_t unwritten_bytes_ = 0;
  std::deque<std::shared_ptr<const std::string>> events_;
  std::uint64_t missed_events_ = 0;
  asio::steady_timer linger_timer_;
  std::size_t dropped_bytes_ = 0;
};

}  // namespace varve::bd
