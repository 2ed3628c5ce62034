// A device in the table of the service, and a job that works on it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bd/service.h"

namespace varve::bd {

struct Service::Entry {
  DeviceParts parts;
  std::string config;
  std::string transport;
  std::string opened_at;
  // What the device is: opening, open, sealed, closing, recovering.
  const char* state = "opening";
  // The job that works on it, or null.
  std::shared_ptr<Job> job;
  // What was asked for while that job gave way to it, or null.
  std::function<void()> next;
  // Whether the end of the daemon has let go of it.
  bool is_abandoned = false;
  std::shared_ptr<Device> device;  // null while it is opened, and when it is gone
  // Of a predecessor, until it is served again; then also why it is not, and how often it was tried.
  std::shared_ptr<transport::Survivor> survivor;
  std::string problem;
  unsigned attempts = 0;
};

struct Service::Job {
  Job(asio::io_context& context, const char* operation, Reply client)
      : name(operation), reply(std::move(client)), timer(context) {}

  void answer(Json document) {
    if (reply) std::exchange(reply, nullptr)(std::move(document));
  }

  // Whether it only waits, and ends for a close that goes further.
  [[nodiscard]] bool gives_way_to(transport::CloseMode mode) const {
    return close_mode && !cancellation.is_cancelled() && (!reply || *close_mode < mode);
  }

  const char* name;
  Reply reply;
  Cancellation cancellation;
  asio::steady_timer timer;
  EntryPointer entry;
  std::optional<transport::CloseMode> close_mode;  // of a close
};

}  // namespace varve::bd
