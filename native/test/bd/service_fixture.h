// What tests of the service have: one on images in memory, whose replies and events are kept.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bd/service.h"
#include "test/bd/memory_images.h"
#include "test/temporary_directory.h"

namespace varve::test {

using bd::Json;
using namespace std::chrono_literals;

class ServiceTest : public TemporaryDirectory {
 protected:
  ~ServiceTest() override {
    images_.opens.open();
    transport_.syncs.open();
    images_.commits.open();
    transport_.use(false);
    run_until([this] { return service_.is_idle(0ms); });
  }

  // Where the reply to a request will be.
  using Answer = std::shared_ptr<Json>;

  Answer ask(bd::Operation operation) {
    const auto answer = std::make_shared<Json>();
    service_.handle(std::move(operation), [answer](const Json& document) {
      EXPECT_TRUE(answer->is_null()) << "a second reply";
      *answer = document;
    });
    return answer;
  }

  template <typename Condition>
  void run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      context_.restart();
      context_.run_one_for(10ms);
    }
  }

  // The content of the reply, or its error's code.
  Json wait(const Answer& answer) {
    run_until([&] { return !answer->is_null(); });
    return answer->contains("ok") ? (*answer)["ok"] : (*answer)["error"];
  }
  Json ask_and_wait(bd::Operation operation) { return wait(ask(std::move(operation))); }

  Json open(const std::string& device, const std::string& config) {
    return ask_and_wait(bd::OpenRequest{.config = config, .device = device});
  }
  // A close that waits for users, once it does.
  Answer close_patiently(const std::string& device) {
    const unsigned before = transport_.waits();
    const Answer answer = ask(bd::CloseRequest{
        .device = device, .mode = transport::CloseMode::kDetach, .patience = 600s});
    run_until([&] { return transport_.waits() > before; });
    return answer;
  }
  Json list() { return ask_and_wait(bd::ListRequest{})["devices"]; }
  [[nodiscard]] bool has_event(const std::string& event, const std::string& device) const {
    return std::any_of(events_.begin(), events_.end(), [&](const Json& one) {
      return one["event"] == event && one["device"] == device;
    });
  }

  asio::io_context context_;
  MemoryImages images_;
  MemoryTransport transport_;
  bd::Log log_{bd::LogLevel::kFatal};
  std::vector<Json> events_;
  bd::Service service_{context_,
                       {.images = images_, .transports = {&transport_}, .log = log_},
                       [this](const Json& event) { events_.push_back(event); }};
};

}  // namespace varve::test
