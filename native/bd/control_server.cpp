#include "bd/control_server.h"

#include <utility>

namespace varve::bd {

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

ControlServer::ControlServer(asio::local::stream_protocol::acceptor acceptor, Service& service,
                             Log& log)
    : acceptor_(std::move(acceptor)),
      pause_(acceptor_.get_executor()),
      service_(service),
      log_(log) {}

// More than are refused at a time wait in the kernel's queue.
void ControlServer::accept() {
  const bool has_room = connections_.size() < kConnectionsMax || refused_.size() < kRefusedMax;
  if (is_accepting_ || !has_room || !acceptor_.is_open()) return;
  is_accepting_ = true;
  acceptor_.async_accept(
      [this](const std::error_code& error, ControlConnection::Socket socket) {
        if (!acceptor_.is_open()) return;
        if (error) {
          // Out of descriptors, for example: those who wait are taken when there are some again.
          tell_not_accepted(error);
          try_again_later();
          return;
        }
        is_accepting_ = false;
        add(std::move(socket));
        accept();
      });
}

void ControlServer::tell_not_accepted(const std::error_code& error) {
  std::uint64_t left_out = 0;
  if (!not_accepted_.allows(RateBound::Clock::now(), left_out)) return;
  Json fields = {{"reason", error.message()}};
  if (left_out > 0) fields["leftOut"] = left_out;
  log_.warn("a client cannot be accepted", fields);
}

void ControlServer::try_again_later() {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([this](const std::error_code& error) {
    if (error) return;
    is_accepting_ = false;
    accept();
  });
}

void ControlServer::add(ControlConnection::Socket socket) {
  const auto connection = std::make_shared<ControlConnection>(
      std::move(socket), service_, [this](const Connection& ended) {
        connections_.erase(ended);
        refused_.erase(ended);
        accept();
      });
  if (connections_.size() >= kConnectionsMax) {
    refused_.insert(connection);
    connection->refuse("too-many-connections", std::to_string(connections_.size()) +
                                                   " clients are connected, which is the most: "
                                                   "close a connection, then try again");
    return;
  }
  connections_.insert(connection);
  connection->begin();
}

void ControlServer::publish(const Json& event) {
  const auto line = std::make_shared<const std::string>(to_line(event) + "\n");
  // One that cannot be written to ends, and is taken out, while it is told.
  const std::set<Connection> connections = connections_;
  for (const Connection& connection : connections) connection->publish(line);
}

void ControlServer::stop() {
  std::error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void ControlServer::close_all() {
  for (const auto& connections : {connections_, refused_}) {
    for (const Connection& connection : connections) connection->close();
  }
}

}  // namespace varve::bd
