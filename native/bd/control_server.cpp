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

void ControlServer::accept() {
  acceptor_.async_accept(
      [this](const std::error_code& error, ControlConnection::Socket socket) {
        if (!acceptor_.is_open()) return;
        if (error) {
          // Out of descriptors, for example: those who wait are taken when there are some again.
          log_.warn("a client cannot be accepted", {{"reason", error.message()}});
          try_again_later();
          return;
        }
        add(std::move(socket));
        accept();
      });
}

void ControlServer::try_again_later() {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([this](const std::error_code& error) {
    if (!error && acceptor_.is_open()) accept();
  });
}

void ControlServer::add(ControlConnection::Socket socket) {
  const auto connection = std::make_shared<ControlConnection>(
      std::move(socket), service_,
      [this](const Connection& ended) { connections_.erase(ended); });
  if (connections_.size() >= kConnectionsMax) {
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
  const std::set<Connection> connections = connections_;
  for (const Connection& connection : connections) connection->close();
}

}  // namespace varve::bd
