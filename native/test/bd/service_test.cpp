// The table of devices and its operations, on images in memory: names, what runs beside what, and
// deadlines.
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>

#include "bd/metered_device.h"
#include "test/bd/service_fixture.h"

namespace varve::test {

namespace {

class OtherTransport final : public transport::Transport {
 public:
  [[nodiscard]] std::string name() const override { return "other"; }
  std::unique_ptr<transport::AttachedDevice> attach(
      std::shared_ptr<transport::BlockDevice> content,
      const transport::AttachOptions& options) override {
    return devices_.attach(std::move(content), options);
  }

 private:
  MemoryTransport devices_;
};

}  // namespace

TEST_F(ServiceTest, ADeviceIsOpenedListedAndClosed) {
  const Json opened = open("a", "/one");
  EXPECT_EQ(opened["device"], "a");
  EXPECT_EQ(opened["path"], "/dev/memory0");
  EXPECT_EQ(opened["readOnly"], true);
  EXPECT_EQ(opened["sizeBytes"], 1U << 20);
  EXPECT_TRUE(has_event("opened", "a"));
  EXPECT_EQ(list()[0]["state"], "open");
  EXPECT_EQ(list()[0]["config"], "/one");
  const Json closed = ask_and_wait(bd::CloseRequest{.device = "a"});
  EXPECT_EQ(closed["gone"], true);
  EXPECT_EQ(list(), Json::array());
  EXPECT_TRUE(has_event("closed", "a"));
  run_until([this] { return transport_.attached() == 0; });
}

TEST_F(ServiceTest, ANameBelongsToOneDevice) {
  open("a", "/one");
  const Json refused = open("a", "/two");
  EXPECT_EQ(refused["code"], "already-exists");
  EXPECT_NE(refused["message"].get<std::string>().find("/one"), std::string::npos);
  EXPECT_EQ(open("", "/two")["device"], "device-1");
  open("device-2", "/three");
  EXPECT_EQ(open("", "/two")["device"], "device-3") << "the next that is free";
}

TEST_F(ServiceTest, ASlowOpenDelaysNobody) {
  images_.opens.close();
  const Answer slow = ask(bd::OpenRequest{.config = "/slow", .device = "slow"});
  images_.opens.wait_for(1);
  EXPECT_EQ(open("quick", "/quick")["device"], "quick");
  EXPECT_EQ(ask_and_wait(bd::CloseRequest{.device = "quick"})["gone"], true);
  EXPECT_TRUE(slow->is_null());
  EXPECT_EQ(list()[0]["state"], "opening");
  EXPECT_EQ(open("slow", "/other")["code"], "already-exists") << "its name is taken already";
  EXPECT_EQ(ask_and_wait(bd::CloseRequest{.device = "slow"})["code"], "busy");
  images_.opens.open();
  EXPECT_EQ(wait(slow)["device"], "slow");
}

TEST_F(ServiceTest, AnOpenThatMissesItsDeadlineIsUndone) {
  images_.opens.close();
  images_.result_file = at("result");
  const Json refused =
      ask_and_wait(bd::OpenRequest{.config = "/slow", .device = "a", .deadline = 1ms});
  EXPECT_EQ(refused["code"], "deadline");
  EXPECT_EQ(open("a", "/one")["code"], "already-exists") << "it may still come back";
  images_.opens.open();
  run_until([this] { return list() == Json::array(); });
  EXPECT_EQ(transport_.attached(), 0U);
  EXPECT_FALSE(has_event("opened", "a"));
  std::ifstream file(at("result"));
  const std::string result{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(result.rfind("failed:", 0), 0U) << result;
  EXPECT_EQ(open("a", "/one")["device"], "a");
}

TEST_F(ServiceTest, WhatCannotBeOpenedSaysWhyAndLeavesNothing) {
  images_.result_file = at("result");
  const Json refused = open("a", "/absent");
  EXPECT_EQ(refused["code"], "open-failed");
  EXPECT_EQ(refused["message"],
            "/absent: its layer is not there; mend the path, or put the file there");
  EXPECT_EQ(list(), Json::array());
  EXPECT_TRUE(has_event("error", "a"));
  std::ifstream file(at("result"));
  EXPECT_EQ((std::string{std::istreambuf_iterator<char>(file), {}}),
            "failed:/absent: its layer is not there");
}

TEST_F(ServiceTest, AnOpenThatFailsLeavesTheResultFileOfAnOpenDeviceAlone) {
  images_.result_file = at("result");
  const auto result = [&] {
    std::ifstream file(at("result"));
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  open("a", "/one");
  EXPECT_EQ(open("b", "/absent")["code"], "open-failed");
  EXPECT_EQ(result(), "success");
  ask_and_wait(bd::CloseRequest{.device = "a"});
  open("b", "/absent");
  EXPECT_EQ(result(), "failed:/absent: its layer is not there") << "there is no such device now";
}

TEST_F(ServiceTest, WhatHoldsWritesBackIsPartOfWriteback) {
  if (::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0) != 0) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  open("a", "/writable");
  ask_and_wait(bd::CommitRequest{.device = "a", .output = at("layer")});
  EXPECT_TRUE(images_.is_committed_by_flusher);
}

TEST_F(ServiceTest, ADeviceInUseIsKeptAndItsUsersNamed) {
  open("a", "/writable");
  transport_.use(true);
  const Json refused = ask_and_wait(bd::CloseRequest{.device = "a"});
  EXPECT_EQ(refused["code"], "in-use");
  EXPECT_EQ(refused["users"][0]["process"], 12);
  EXPECT_NE(refused["message"].get<std::string>().find("process 12 (cat)"), std::string::npos);
  for (const bd::Operation& operation :
       {bd::Operation(bd::SealRequest{.device = "a"}),
        bd::Operation(bd::CommitRequest{.device = "a", .output = at("layer")}),
        bd::Operation(bd::ResizeRequest{.device = "a", .size_bytes = 512})}) {
    EXPECT_EQ(ask_and_wait(operation)["code"], "in-use");
  }
  EXPECT_EQ(ask_and_wait(bd::ResizeRequest{.device = "a", .size_bytes = 2U << 20})["sizeBytes"],
            2U << 20)
      << "to grow is no harm to users";
  EXPECT_FALSE(exists("layer"));
}

TEST_F(ServiceTest, ADeviceThatWasLetGoOfStaysUntilItsLastUserIsGone) {
  open("a", "/one");
  transport_.use(true);
  const Json closed = ask_and_wait(
      bd::CloseRequest{.device = "a", .mode = transport::CloseMode::kDetach, .patience = 1ms});
  EXPECT_EQ(closed["gone"], false);
  EXPECT_EQ(closed["users"].size(), 1U);
  EXPECT_EQ(list()[0]["state"], "closing");
  EXPECT_EQ(open("a", "/one")["code"], "already-exists");
  EXPECT_FALSE(has_event("closed", "a"));
  const unsigned closes = transport_.close_count();
  run_until([this] { return transport_.look_count() >= 2; });
  EXPECT_EQ(transport_.close_count(), closes) << "users are looked for though it is still in use";
  transport_.use(false);
  run_until([this] { return has_event("closed", "a"); });
  EXPECT_EQ(list(), Json::array());
}

TEST_F(ServiceTest, ACloseWritesOutButTellsOfUsersFirst) {
  open("a", "/writable");
  transport_.syncs.close();
  transport_.use(true);
  EXPECT_EQ(ask_and_wait(bd::CloseRequest{.device = "a", .patience = 1h})["code"], "in-use");
  transport_.use(false);
  const Answer closed = ask(bd::CloseRequest{.device = "a", .patience = 1h});
  transport_.syncs.wait_for(1);
  EXPECT_TRUE(closed->is_null());
  transport_.syncs.open();
  EXPECT_EQ(wait(closed)["gone"], true);
}

TEST_F(ServiceTest, ACloseThatCannotWriteOutInTimeGoesOn) {
  open("a", "/writable");
  transport_.syncs.close();
  const Json closed = ask_and_wait(bd::CloseRequest{.device = "a", .patience = 1ms});
  EXPECT_EQ(closed["gone"], false);
  EXPECT_EQ(closed["users"], Json::array());
  EXPECT_EQ(list()[0]["state"], "closing");
  EXPECT_EQ(ask_and_wait(bd::CommitRequest{.device = "a", .output = at("layer")})["code"],
            "not-writable");
  transport_.syncs.open();
  run_until([this] { return has_event("closed", "a"); });
  EXPECT_EQ(list(), Json::array());
}

TEST_F(ServiceTest, AnAbortEndsAWriteOutThatHangs) {
  open("a", "/writable");
  transport_.syncs.close();
  EXPECT_EQ(ask_and_wait(bd::CloseRequest{.device = "a", .patience = 1ms})["gone"], false);
  const Json aborted = ask_and_wait(
      bd::CloseRequest{.device = "a", .mode = transport::CloseMode::kAbort, .patience = 1h});
  EXPECT_NE(aborted["message"].get<std::string>().find("flushing failed with EIO"),
            std::string::npos);
  EXPECT_EQ(list(), Json::array());
}

TEST_F(ServiceTest, ACloseThatWaitsGivesWayToOneThatGoesFurther) {
  open("a", "/one");
  transport_.use(true);
  const Answer waiting = close_patiently("a");
  EXPECT_EQ(ask_and_wait(bd::CloseRequest{.device = "a"})["code"], "busy");
  const Json aborted =
      ask_and_wait(bd::CloseRequest{.device = "a", .mode = transport::CloseMode::kAbort});
  EXPECT_EQ(aborted["gone"], false) << aborted;
  EXPECT_EQ(transport_.aborts(), 1U);
  EXPECT_EQ(wait(waiting)["gone"], false);
  EXPECT_EQ((*waiting)["ok"]["users"].size(), 1U);

  const Answer last = close_patiently("a");
  const Answer other =
      ask(bd::CloseRequest{.device = "a", .mode = transport::CloseMode::kAbort});
  transport_.use(false);
  EXPECT_EQ(wait(last)["gone"], true);
  EXPECT_EQ(wait(other)["gone"], true) << "it went away before its turn came";
}

TEST_F(ServiceTest, ADeviceThatIsTakenAwayEndsWhateverWorksOnIt) {
  open("a", "/writable");
  images_.commits.close();
  const Answer commit = ask(bd::CommitRequest{.device = "a", .output = at("layer")});
  images_.commits.wait_for(1);
  bool has_ended = false;
  service_.end("a", [&] { has_ended = true; });
  EXPECT_FALSE(has_ended) << "the commit uses it";
  images_.commits.open();
  run_until([&] { return has_ended; });
  EXPECT_EQ(wait(commit)["code"], "deadline");
  EXPECT_FALSE(std::filesystem::exists(at("layer")));
  EXPECT_EQ(list(), Json::array());
  run_until([this] { return transport_.attached() == 0; });
  has_ended = false;
  service_.end("a", [&] { has_ended = true; });
  EXPECT_TRUE(has_ended) << "there is none any more";
}

TEST_F(ServiceTest, ADeviceThatIsTakenAwayMayHaveBeenLetGoOf) {
  open("a", "/one");
  transport_.use(true);
  const Answer waiting = close_patiently("a");
  bool has_ended = false;
  service_.end("a", [&] { has_ended = true; });
  transport_.use(false);
  run_until([&] { return has_ended; });
  EXPECT_TRUE(wait(waiting).contains("gone"));
  EXPECT_EQ(list(), Json::array());
}

TEST_F(ServiceTest, SaysHowADeviceReachesTheKernelAndWhichErrorItWas) {
  const auto other = std::make_shared<OtherTransport>();
  const Json opened = ask_and_wait(bd::OpenRequest{.config = "/one",
                                                   .device = "other",
                                                   .is_read_only = false,
                                                   .deadline = bd::kOpenDeadline,
                                                   .transport = other});
  EXPECT_EQ(opened["transport"], "other");
  EXPECT_EQ(open("own", "/one")["transport"], "memory");
  EXPECT_EQ(list()[0]["transport"], "other");
  EXPECT_EQ(open("none", "/absent")["errno"], ENOENT);
  // Devices end before their transport here.
  ask_and_wait(bd::CloseRequest{.device = "other"});
}

TEST_F(ServiceTest, RequestsUnderWayAreBounded) {
  images_.opens.close();
  std::vector<Answer> answers;
  for (std::size_t at = 0; at <= bd::kRequestsMax; ++at) {
    answers.push_back(ask(bd::OpenRequest{.config = "/slow"}));
  }
  EXPECT_EQ(wait(answers.back())["code"], "too-many-requests");
  EXPECT_EQ(list().size(), bd::kRequestsMax) << "the one that was refused left nothing";
  images_.opens.open();
  answers.pop_back();
  for (const Answer& answer : answers) EXPECT_TRUE(wait(answer)["device"].is_string());
}

TEST(Service, ARequestThatFailsAfterItsEndDoesNothingToIt) {
  asio::io_context context;
  const MemoryImages images;
  MemoryTransport transport;
  bd::Log log(bd::LogLevel::kFatal);
  alignas(bd::Service) std::array<std::byte, sizeof(bd::Service)> place;
  auto* service = new (place.data())
      bd::Service(context, {.images = images, .transports = {&transport}, .log = log},
                  [](const Json&) {});
  bool is_open = false;
  service->handle(bd::OpenRequest{.config = "/one", .device = "a"},
                  [&](const Json&) { is_open = true; });
  while (!is_open) {
    context.restart();
    context.run_one_for(10s);
  }
  const auto content = std::dynamic_pointer_cast<bd::MeteredDevice>(transport.last_content());
  ASSERT_NE(content, nullptr);
  EXPECT_TRUE(service->is_idle(10s));
  service->~Service();
  place.fill(std::byte{0xff});
  static_cast<MemoryImage&>(content->image()).error = -EIO;
  std::array<std::byte, 512> bytes;
  EXPECT_EQ(content->read(bytes, 0), -EIO);
}

}  // namespace varve::test
