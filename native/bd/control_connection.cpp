#include "bd/control_connection.h"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>
#include <utility>

#include "bd/replies.h"

namespace varve::bd {

ControlConnection::ControlConnection(Socket socket, Service& service, Ended ended)
    : socket_(std::move(socket)),
      service_(service),
      ended_(std::move(ended)),
      linger_timer_(socket_.get_executor()) {}

void ControlConnection::close() {
  std::error_code ignored;
  socket_.close(ignored);
  linger_timer_.cancel();
  is_listening_ = false;
  has_input_ended_ = true;
  unwritten_.clear();
  events_.clear();
  if (ended_) std::exchange(ended_, nullptr)(shared_from_this());
}

void ControlConnection::refuse(const std::string& code, const std::string& message) {
  has_input_ended_ = true;
  is_refused_ = true;
  is_listening_ = false;
  events_.clear();
  send(std::nullopt, error_reply(code, message));
}

void ControlConnection::read() {
  if (is_reading_ || has_input_ended_ || unwritten_bytes_ > kUnreadBytesMax) return;
  is_reading_ = true;
  // One more than a line has, for its end.
  asio::async_read_until(
      socket_, asio::dynamic_buffer(received_, kLineBytesMax + 1), '\n',
      [self = shared_from_this()](const std::error_code& error, std::size_t) {
        self->is_reading_ = false;
        if (error == asio::error::not_found) {
          self->refuse("line-too-long", "a request has at most " + std::to_string(kLineBytesMax) +
                                            " bytes: the connection is closed");
        } else if (error == asio::error::eof) {
          // Who only sends and then listens gets what is still to come.
          self->has_input_ended_ = true;
          // The last line need not have an end.
          if (!self->received_.empty()) self->take(std::exchange(self->received_, {}));
          self->end_if_done();
        } else if (error) {
          self->close();
        } else {
          self->take_lines();
        }
      });
}

void ControlConnection::take_lines() {
  std::size_t begin = 0;
  while (!has_input_ended_ && unwritten_bytes_ <= kUnreadBytesMax) {
    const std::size_t end = received_.find('\n', begin);
    if (end == std::string::npos) break;
    take(std::string_view(received_).substr(begin, end - begin));
    begin = end + 1;
  }
  received_.erase(0, begin);
  read();
}

void ControlConnection::take(std::string_view line) {
  std::optional<std::uint64_t> id;
  try {
    Request request = parse_request(line, id);
    if (std::holds_alternative<EventsRequest>(request.operation)) {
      if (is_listening_) {
        throw RequestError("already-listening", "this connection gets the events already");
      }
      is_listening_ = true;
      send(id, {{"ok", Json::object()}});
      return;
    }
    if (under_way_ >= kRequestsPerConnectionMax) {
      throw RequestError("too-many-requests",
                         std::to_string(under_way_) +
                             " requests of this connection are under way: wait for some to end");
    }
    ++under_way_;
    service_.handle(std::move(request.operation), [self = shared_from_this(), id](Json document) {
      --self->under_way_;
      self->send(id, std::move(document));
    });
  } catch (const RequestError& error) {
    send(id, error_reply(error.code(), error.what()));
  }
}

void ControlConnection::send(std::optional<std::uint64_t> id, Json document) {
  Json reply = {{"id", nullptr}};
  if (id) reply["id"] = *id;
  reply.update(document);
  send_line(std::make_shared<const std::string>(to_line(reply) + "\n"));
}

void ControlConnection::send_line(std::shared_ptr<const std::string> line) {
  if (!socket_.is_open()) return;
  unwritten_bytes_ += line->size();
  unwritten_.push_back(std::move(line));
  write();
}

void ControlConnection::publish(const std::shared_ptr<const std::string>& line) {
  if (!is_listening_) return;
  // After a gap, too, until there is room again: what is left out is one piece.
  if (missed_events_ > 0 || events_.size() >= kEventsWaitingMax) {
    ++missed_events_;
  } else {
    events_.push_back(line);
  }
  write();
}

std::shared_ptr<const std::string> ControlConnection::next_line() {
  if (!unwritten_.empty()) {
    auto line = std::move(unwritten_.front());
    unwritten_.pop_front();
    unwritten_bytes_ -= line->size();
    return line;
  }
  if (!events_.empty()) {
    auto line = std::move(events_.front());
    events_.pop_front();
    return line;
  }
  if (missed_events_ == 0) return nullptr;
  const Json gap = {
      {"event", "gap"}, {"time", utc_now()}, {"missedCount", std::exchange(missed_events_, 0)}};
  return std::make_shared<const std::string>(to_line(gap) + "\n");
}

void ControlConnection::write() {
  if (is_writing_ || !socket_.is_open()) return;
  const auto line = next_line();
  if (line == nullptr) {
    end_if_done();
    return;
  }
  is_writing_ = true;
  asio::async_write(socket_, asio::buffer(*line),
                    [self = shared_from_this(), line](const std::error_code& error, std::size_t) {
                      self->is_writing_ = false;
                      if (error) {
                        self->close();
                        return;
                      }
                      self->write();
                      // Lines that were left because of too many replies come first.
                      if (self->socket_.is_open() && !self->is_reading_) self->take_lines();
                    });
}

void ControlConnection::end_if_done() {
  if (!has_input_ended_ || under_way_ > 0 || is_writing_ || !unwritten_.empty()) return;
  if (is_refused_) {
    linger();
  } else {
    close();
  }
}

// Whoever still sends when the connection is closed gets EPIPE, and may never read why. So for a
// while what is sent is dropped, until the client has seen the end and closed.
void ControlConnection::linger() {
  if (!socket_.is_open()) return;
  std::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  linger_timer_.expires_after(kRefusedPatience);
  linger_timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
    if (!error) self->close();
  });
  received_.resize(kLineBytesMax);
  drop_input();
}

void ControlConnection::drop_input() {
  socket_.async_read_some(
      asio::buffer(received_),
      [self = shared_from_this()](const std::error_code& error, std::size_t bytes) {
        self->dropped_bytes_ += bytes;
        if (error || self->dropped_bytes_ > kRefusedBytesMax) {
          self->close();
        } else {
          self->drop_input();
        }
      });
}

}  // namespace varve::bd
