// Accepts clients of the control socket, and hands events to all who listen.
#pragma once

#include <asio/steady_timer.hpp>
#include <memory>
#include <set>

#include "bd/control_connection.h"
#include "bd/device_reports.h"

namespace varve::bd {

class ControlServer {
 public:
  // The service outlives this.
  ControlServer(asio::local::stream_protocol::acceptor acceptor, Service& service, Log& log);

  void begin() { accept(); }
  void publish(const Json& event);
  // Takes no further clients; those that are there get what is still written to them.
  void stop();
  void close_all();

 private:
  using Connection = std::shared_ptr<ControlConnection>;

  void accept();
  void add(ControlConnection::Socket socket);
  void try_again_later();
  void tell_not_accepted(const std::error_code& error);

  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  Service& service_;
  Log& log_;
  RateBound not_accepted_{1, kNotAcceptedInterval};
  bool is_accepting_ = false;
  std::set<Connection> connections_;
  std::set<Connection> refused_;
};

}  // namespace varve::bd
