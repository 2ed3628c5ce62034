// The table of devices and its operations, on images in memory: names, what runs beside what,
// deadlines, and the end.
#include "bd/service.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <thread>

#include "bd/metered_device.h"
#include "test/bd/memory_images.h"
#include "test/temporary_directory.h"

namespace varve::test {

using bd::Json;
using namespace std::chrono_literals;

namespace {

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

// A layer is finished as it is at one moment: by a commit, or by a seal.
class FinishingTest : public ServiceTest, public testing::WithParamInterface<bool> {
 protected:
  Answer finish() {
    if (GetParam()) return ask(bd::SealRequest{.device = "a"});
    return ask(bd::CommitRequest{.device = "a", .output = at("layer")});
  }
  [[nodiscard]] std::thread write() {
    return std::thread([this, content = transport_.last_content()] {
      const std::array<std::byte, 512> block{};
      has_begun_ = true;
      EXPECT_EQ(content->write(block, 0), 0);
      has_ended_ = true;
    });
  }
  // For what must not happen.
  static void give_others_time() {
    for (int turn = 0; turn < 2000; ++turn) std::this_thread::yield();
  }

  std::atomic<bool> has_begun_ = false;
  std::atomic<bool> has_ended_ = false;
};

TEST_P(FinishingTest, HoldsWritesBackUntilItEnds) {
  open("a", "/writable");
  images_.commits.close();
  const Answer answer = finish();
  images_.commits.wait_for(1);
  std::thread writer = write();
  while (!has_begun_) std::this_thread::yield();
  give_others_time();
  EXPECT_FALSE(has_ended_);
  images_.commits.open();
  EXPECT_EQ(wait(answer)["device"], "a");
  writer.join();
  EXPECT_EQ(images_.overlaps, 0U);
}

TEST_P(FinishingTest, WaitsForAWriteThatIsUnderWay) {
  open("a", "/writable");
  auto& image = static_cast<MemoryImage&>(
      dynamic_cast<bd::MeteredDevice&>(*transport_.last_content()).image());
  image.writes.close();
  std::thread writer = write();
  image.writes.wait_for(1);
  const unsigned syncs = transport_.sync_count();
  const Answer answer = finish();
  // The last thing before.
  run_until([&] { return transport_.sync_count() > syncs; });
  give_others_time();
  EXPECT_TRUE(answer->is_null());
  image.writes.open();
  EXPECT_EQ(wait(answer)["device"], "a");
  writer.join();
  EXPECT_EQ(images_.overlaps, 0U);
}

INSTANTIATE_TEST_SUITE_P(Work, FinishingTest, testing::Bool(), [](const auto& is_seal) {
  return is_seal.param ? "Seal" : "Commit";
});

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

TEST_F(ServiceTest, WorkOnLayersNeedsAWritableDevice) {
  open("ro", "/one");
  ask_and_wait(bd::OpenRequest{.config = "/writable", .device = "kept", .is_read_only = true});
  open("rw", "/writable");
  for (const char* device : {"ro", "kept"}) {
    EXPECT_EQ(ask_and_wait(bd::SealRequest{.device = device})["code"], "not-writable");
    EXPECT_EQ(ask_and_wait(bd::ResizeRequest{.device = device, .size_bytes = 512})["code"],
              "not-writable");
    EXPECT_EQ(
        ask_and_wait(bd::CommitRequest{.device = device, .output = at("layer")})["code"],
        "not-writable");
  }
  EXPECT_EQ(ask_and_wait(bd::SealRequest{.device = "rw"})["device"], "rw");
  EXPECT_EQ(list()[2]["state"], "sealed");
  EXPECT_EQ(list()[2]["readOnly"], true);
  EXPECT_EQ(ask_and_wait(bd::SealRequest{.device = "rw"})["code"], "not-writable");
  EXPECT_EQ(ask_and_wait(bd::SealRequest{.device = "none"})["code"], "not-found");
}

TEST_F(ServiceTest, ACommitNeverReplacesAFileAndLeavesNoPieces) {
  open("a", "/writable");
  const bd::CommitRequest request{
      .device = "a", .output = at("out/layer"), .compression = bd::Compression::kNone};
  make_directory("out");
  EXPECT_EQ(ask_and_wait(request)["sizeBytes"], 2048);
  EXPECT_TRUE(exists("out/layer"));
  EXPECT_EQ(ask_and_wait(request)["code"], "already-exists");
  write_file("other");
  bd::CommitRequest nowhere = request;
  nowhere.output = at("none/layer");
  EXPECT_EQ(ask_and_wait(nowhere)["code"], "failed");
  bd::CommitRequest too_much = request;
  too_much.output = at("out/too-much");
  images_.commit_error = ENOSPC;
  const std::string text = ask_and_wait(too_much)["message"].get<std::string>();
  EXPECT_NE(text.find(at("out/too-much") + ": cannot write"), std::string::npos) << text;
  const auto files = std::distance(std::filesystem::directory_iterator(at("out")),
                                   std::filesystem::directory_iterator());
  EXPECT_EQ(files, 1);
}

TEST_F(ServiceTest, EverythingEndsWithTheDaemon) {
  open("a", "/one");
  images_.opens.close();
  const Answer slow = ask(bd::OpenRequest{.config = "/slow", .device = "slow"});
  images_.opens.wait_for(1);
  bool has_stopped = false;
  service_.stop([&] { has_stopped = true; });
  EXPECT_EQ(open("b", "/one")["code"], "stopping");
  EXPECT_FALSE(has_stopped) << "an open is under way";
  images_.opens.open();
  run_until([&] { return has_stopped; });
  EXPECT_EQ(wait(slow)["code"], "deadline");
  run_until([this] { return transport_.attached() == 0; });
  EXPECT_TRUE(has_event("closed", "a"));
}

TEST_F(ServiceTest, ADeviceThatTheKernelKeepsIsLeft) {
  transport_.keeps_devices = true;
  open("kept", "/writable");
  transport_.use(true);
  bool has_stopped = false;
  service_.stop([&] { has_stopped = true; });
  run_until([&] { return has_stopped; });
  EXPECT_EQ(transport_.aborts(), 0U);
  EXPECT_EQ(transport_.sync_count(), 0U) << "what the kernel holds of it stays there";
  ASSERT_TRUE(has_event("closed", "kept"));
  EXPECT_EQ(events_.back()["left"], true);
  EXPECT_FALSE(events_.back().contains("users"));
  run_until([this] { return transport_.attached() == 0; });
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

TEST_F(ServiceTest, TheEndWritesOutWhatACloseWaitsFor) {
  open("used", "/writable");
  transport_.use(true);
  const Answer waiting = close_patiently("used");
  const unsigned syncs = transport_.sync_count();
  bool has_stopped = false;
  service_.stop([&] { has_stopped = true; });
  const Answer late = ask(bd::CloseRequest{.device = "used"});
  run_until([&] { return has_stopped; });
  EXPECT_EQ(wait(waiting)["gone"], false);
  EXPECT_EQ(wait(late)["code"], "stopping");
  EXPECT_TRUE(service_.is_idle(10s)) << "the wait has ended, too";
  EXPECT_GT(transport_.sync_count(), syncs);
  ASSERT_TRUE(has_event("closed", "used"));
  EXPECT_EQ(events_.back()["users"][0]["process"], 12);
}

TEST_F(ServiceTest, TheEndLetsGoOfADeviceWhoseWorkEndsLate) {
  open("late", "/writable");
  images_.commits.close();
  ask(bd::CommitRequest{.device = "late", .output = at("layer")});
  images_.commits.wait_for(1);
  open("slow-to-go", "/one");
  transport_.use(true);
  bool has_stopped = false;
  service_.stop([&] { has_stopped = true; });
  // By then what is under way has had its time.
  run_until([&] { return transport_.waits() > 0; });
  images_.commits.open();
  run_until([&] { return has_stopped; });
  EXPECT_TRUE(has_event("closed", "late"));
}

TEST_F(ServiceTest, TheEndWaitsForNobodyWhoHangs) {
  open("used", "/writable");
  transport_.use(true);
  images_.opens.close();
  ask(bd::OpenRequest{.config = "/slow", .device = "slow"});
  images_.opens.wait_for(1);
  bool has_stopped = false;
  service_.stop([&] { has_stopped = true; });
  run_until([&] { return has_stopped; });
  EXPECT_FALSE(service_.is_idle(0ms));
  EXPECT_TRUE(has_event("closed", "used"));
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
