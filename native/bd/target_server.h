// Serves the devices of the kernel's target (TCMU) whose configuration names an image of ours:
// opens it when one is added, closes it when it is removed, and takes over those that another
// daemon has served before. The kernel waits for an answer to each message, uninterruptibly, so
// each gets one: when the work is done, or at a bound.
//
// All of its state belongs to the thread of the io_context, where it never blocks.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "bd/log.h"
#include "bd/service.h"
#include "tcmu/netlink_socket.h"
#include "tcmu/tcmu_transport.h"
#include "transport/serving_pool.h"

namespace varve::bd {

class TargetServer {
 public:
  // Says to the kernel that somebody is there. The service, the pool and the log outlive this.
  // Throws transport::TransportError, also where another varve-bd serves the target.
  TargetServer(asio::io_context& context, Service& service,
               std::shared_ptr<transport::ServingPool> pool, Log& log);
  ~TargetServer();
  TargetServer(const TargetServer&) = delete;
  TargetServer& operator=(const TargetServer&) = delete;

  // Takes over what is there, and listens. What a daemon before was asked and has not answered
  // fails. Throws transport::TransportError, and has changed nothing, where another process serves
  // a device.
  void begin();
  // From now on the kernel refuses to add devices: whoever wants one is to try again, until there is
  // a next daemon. Without devices, one that is not replaced has the kernel go on without it.
  void stop(bool is_replaced);
  // Whoever still waits for an answer gets an error instead.
  void end();

 private:
  using Message = tcmu::DeviceMessage;
  // Takes 0 or a negative errno; called once.
  using Answer = std::function<void(int status)>;

  struct Device {
    std::string full_name;
    std::string name;  // in the table of the service
    std::shared_ptr<tcmu::TcmuTransport> transport;
  };
  using DevicePointer = std::shared_ptr<Device>;

  [[nodiscard]] Service::Survivors find_left();
  void fail_unanswered();
  void listen();
  void receive();
  void handle(const Message& message);
  DevicePointer make_device(const tcmu::Target& target);
  void add(const tcmu::Target& target, Answer answer);
  void open_next();
  void open(const DevicePointer& device, const tcmu::Target& target, const Answer& answer);
  void remove(std::uint32_t minor, const std::string& full_name, const Answer& answer);
  void ended(std::uint32_t minor, const std::string& full_name, const std::string& reason);
  [[nodiscard]] DevicePointer find(std::uint32_t minor, const std::string& full_name) const;
  [[nodiscard]] Answer answer_to(const Message& message);
  [[nodiscard]] std::string name_for(const tcmu::Target& target) const;
  void set_blocked(bool is_blocked);

  asio::io_context& context_;
  Service& service_;
  std::shared_ptr<transport::ServingPool> pool_;
  Log& log_;
  UniqueFd lock_;
  tcmu::NetlinkSocket socket_;
  asio::posix::stream_descriptor readable_;
  std::map<std::uint32_t, DevicePointer> devices_;  // by the number of the UIO device
  std::deque<std::function<void()>> waiting_;       // opens that come next
  std::size_t opening_count_ = 0;
  bool is_stopping_ = false;
  bool is_blocked_for_next_ = true;
};

}  // namespace varve::bd
