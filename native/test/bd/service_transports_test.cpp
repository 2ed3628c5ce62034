// Several transports in one daemon: which one a device gets, what is told of them, and which devices
// stay when the daemon ends.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "bd/service.h"
#include "memory_images.h"

namespace varve::test {

namespace {

using bd::Json;

class ServiceTransportsTest : public testing::Test {
 protected:
  Json ask(bd::Operation operation) {
    std::optional<Json> answer;
    service_.handle(std::move(operation), [&](Json reply) { answer = std::move(reply); });
    run_until([&] { return answer.has_value(); });
    return answer->contains("ok") ? (*answer)["ok"] : (*answer)["error"];
  }

  Json open(const std::string& device, const std::string& transport = "") {
    return ask(bd::OpenRequest{.config = "/one", .device = device, .transport_name = transport});
  }

  template <typename Condition>
  void run_until(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      context_.restart();
      context_.run_one_for(std::chrono::milliseconds(50));
    }
    ASSERT_TRUE(condition());
  }

  asio::io_context context_;
  MemoryImages images_;
  MemoryTransport first_{"ublk"};
  MemoryTransport last_{"fuse"};
  bd::Log log_{bd::LogLevel::kFatal};
  bd::Service service_{context_,
                       {.images = images_,
                        .transports = {&first_, &last_},
                        .log = log_,
                        .serves_target = true},
                       [](const Json&) {}};
};

}  // namespace

TEST_F(ServiceTransportsTest, TheFirstThatThereIsTakesADevice) {
  EXPECT_EQ(open("a")["transport"], "ublk");
  EXPECT_EQ(open("b", "fuse")["transport"], "fuse");
  first_.is_missing = true;
  EXPECT_EQ(open("c")["transport"], "fuse");
  last_.is_missing = true;
  EXPECT_EQ(open("d")["transport"], "fuse") << "which says what it lacks";
  EXPECT_EQ(first_.attached(), 1U);
  EXPECT_EQ(last_.attached(), 3U);
  EXPECT_EQ(open("e", "other")["code"], "invalid-value");
}

TEST_F(ServiceTransportsTest, WhatThereIsAndWhatIsMissingIsTold) {
  first_.outlives = true;
  Json daemon = ask(bd::StatsRequest{})["daemon"];
  EXPECT_EQ(daemon["transport"], "ublk");
  EXPECT_EQ(daemon["transports"], Json({"ublk", "tcmu", "fuse"}));
  EXPECT_EQ(daemon["devicesOutlive"], true);
  EXPECT_EQ(daemon["outlivingTransports"], Json({"ublk", "tcmu"}));
  EXPECT_EQ(daemon["lacking"], Json::object());
  first_.is_missing = true;
  daemon = ask(bd::StatsRequest{})["daemon"];
  EXPECT_EQ(daemon["transport"], "fuse");
  EXPECT_EQ(daemon["transports"], Json({"tcmu", "fuse"}));
  EXPECT_EQ(daemon["devicesOutlive"], false);
  EXPECT_EQ(daemon["lacking"]["ublk"], Json({"there is no ublk"}));
}

TEST_F(ServiceTransportsTest, AReplacementLeavesWhatStaysAndClosesTheRest) {
  first_.outlives = true;
  first_.use(true);
  open("stays");
  open("goes", "fuse");
  bool has_ended = false;
  service_.hand_over([&] { has_ended = true; });
  run_until([&] { return has_ended; });
  EXPECT_TRUE(service_.leaves_devices());
  EXPECT_EQ(first_.close_count() + first_.sync_count(), 0U);
  run_until([this] { return last_.attached() == 0; });
  EXPECT_EQ(first_.attached(), 1U);
}

TEST_F(ServiceTransportsTest, AnEndEndsAllOfThem) {
  first_.outlives = true;
  open("stays");
  bool has_ended = false;
  service_.stop([&] { has_ended = true; });
  run_until([&] { return has_ended; });
  EXPECT_FALSE(service_.leaves_devices());
  run_until([this] { return first_.attached() == 0; });
}

}  // namespace varve::test
