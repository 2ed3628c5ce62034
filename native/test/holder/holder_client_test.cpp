// The data plane's side: what it parks is with the holder, also with the next one.
#include "holder/holder_client.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <optional>

#include "test/holder/holder_thread.h"
#include "test/temporary_directory.h"

namespace varve::test {

namespace {

class HolderClientTest : public TemporaryDirectory {
 protected:
  std::unique_ptr<holder::HolderClient> connect() {
    return std::make_unique<holder::HolderClient>(
        at("h.sock"), [this](bool is_connected, const std::string& text) {
          const std::lock_guard lock(mutex_);
          is_connected_ = is_connected;
          text_ = text;
          changed_.notify_all();
        });
  }

  void wait_until(bool is_connected) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return is_connected_ == is_connected;
    })) << text_;
  }

  UniqueFd file_{::memfd_create("parked", MFD_CLOEXEC)};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> is_connected_;
  std::string text_;
};

}  // namespace

TEST_F(HolderClientTest, ASuccessorGetsWhatIsLeftOnce) {
  HolderThread held(at("h.sock"));
  {
    const auto client = connect();
    wait_until(true);
    client->park("device/a", std::array{file_.get()});
    client->park("device/b", std::array{file_.get()});
    client->drop("device/b");
  }
  held.wait_for("is gone");
  const auto next = connect();
  std::vector<holder::ParkedThing> left = next->take_left();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].name, "device/a");
  EXPECT_EQ(left[0].descriptors.size(), 1U);
  EXPECT_TRUE(next->take_left().empty());
  next->drop("device/a");
}

TEST_F(HolderClientTest, WithoutAHolderItGoesOnAndTheNextOneGetsAll) {
  const auto client = connect();
  wait_until(false);
  EXPECT_NE(text_.find("no holder answers on " + at("h.sock")), std::string::npos) << text_;
  EXPECT_EQ(client->process(), 0);
  client->park("device/a", std::array{file_.get()});
  client->park("device/b", std::array{file_.get()});
  client->drop("device/b");
  {
    HolderThread held(at("h.sock"));
    wait_until(true);
    EXPECT_EQ(client->process(), ::getpid());
    client->drop("device/a");
    held.ask_to_end();
    held.join();
  }
  wait_until(false);
  client->park("device/c", std::array{file_.get()});
  HolderThread other(at("h.sock"));
  wait_until(true);
  client->drop("device/c");
}

TEST_F(HolderClientTest, APlaceIsGivenUpWithItsObject) {
  HolderThread held(at("h.sock"));
  {
    const auto client = connect();
    wait_until(true);
    holder::ParkedPlace kept(client.get(), "device/kept");
    kept.park(std::array{file_.get()});
    {
      const holder::ParkedPlace passing(client.get(), "device/passing");
      passing.park(std::array{file_.get()});
    }
    kept.leave();
  }
  held.wait_for("1 held, no process uses them");
  const auto next = connect();
  EXPECT_EQ(next->take_left().at(0).name, "device/kept");
  next->drop("device/kept");
}

}  // namespace varve::test
