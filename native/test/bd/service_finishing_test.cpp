// How the service makes finished layers of what is written: at one moment, beside nothing else.
#include <array>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <thread>

#include "bd/metered_device.h"
#include "test/bd/service_fixture.h"

namespace varve::test {

namespace {

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

}  // namespace

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

}  // namespace varve::test
