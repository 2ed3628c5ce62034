// The end of the service: what it waits for, and what it leaves.
#include "test/bd/service_fixture.h"

namespace varve::test {

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

}  // namespace varve::test
