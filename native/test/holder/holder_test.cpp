// The holder: one worker at a time, what is parked comes back to the next one, and it does not end
// while it holds something.
#include "holder/holder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <thread>

#include "place/socket_place.h"
#include "test/holder/holder_thread.h"
#include "test/temporary_directory.h"

namespace varve::test {

namespace {

using holder::Kind;
using holder::Message;

// The other side, message by message.
class Peer {
 public:
  explicit Peer(const std::string& path) {
    int error = 0;
    socket_ = place::connect_to(path, place::SocketType::kPackets, error);
    EXPECT_EQ(error, 0);
  }

  Message ask(Kind kind, const std::string& text = {}, std::span<const int> descriptors = {}) {
    EXPECT_EQ(holder::send_message(socket_.get(), kind, text, descriptors), 0);
    return next();
  }
  // What comes before the end.
  std::vector<std::string> hello() {
    std::vector<std::string> names;
    Message message = ask(Kind::kHello);
    for (; message.kind == Kind::kItem; message = next()) names.push_back(message.text);
    EXPECT_EQ(message.kind, Kind::kEnd) << message.text;
    return names;
  }
  Message next() {
    Message message;
    int error = -EAGAIN;
    while (error == -EAGAIN) error = holder::receive_message(socket_.get(), message);
    is_ended_ = error != 0;
    return message;
  }
  [[nodiscard]] bool is_ended() const { return is_ended_; }

 private:
  UniqueFd socket_;
  bool is_ended_ = false;
};

class HolderTest : public TemporaryDirectory {
 protected:
  UniqueFd file_{::memfd_create("held", MFD_CLOEXEC)};
};

}  // namespace

TEST_F(HolderTest, WhatAWorkerParkedComesToTheNextOne) {
  HolderThread held(at("h.sock"));
  const std::array one = {file_.get()};
  {
    Peer worker(at("h.sock"));
    EXPECT_TRUE(worker.hello().empty());
    EXPECT_EQ(worker.ask(Kind::kPark, "device/a", one).kind, Kind::kDone);
    EXPECT_EQ(worker.ask(Kind::kPark, "device/b", one).kind, Kind::kDone);
    EXPECT_EQ(worker.ask(Kind::kPark, "device/b", std::array{file_.get(), file_.get()}).kind,
              Kind::kDone)
        << "in place of what was there";
    EXPECT_EQ(worker.ask(Kind::kDrop, "device/a").kind, Kind::kDone);
    EXPECT_EQ(worker.ask(Kind::kDrop, "device/a").kind, Kind::kDone);
  }
  Peer next(at("h.sock"));
  held.wait_for("is gone");
  Message item = next.ask(Kind::kHello);
  EXPECT_EQ(item.text, "device/b");
  ASSERT_EQ(item.descriptors.size(), 2U);
  struct stat ours = {};
  struct stat theirs = {};
  ::fstat(file_.get(), &ours);
  ::fstat(item.descriptors[0].get(), &theirs);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  EXPECT_EQ(next.next().kind, Kind::kEnd);
  next.ask(Kind::kDrop, "device/b");
}

TEST_F(HolderTest, ThereIsOneWorkerAtATime) {
  HolderThread held(at("h.sock"));
  Peer worker(at("h.sock"));
  worker.hello();
  Peer other(at("h.sock"));
  Message refused = other.ask(Kind::kHello);
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_EQ(refused.text, "process " + std::to_string(::getpid()) + " uses this holder");
  EXPECT_EQ(other.ask(Kind::kPark, "device/a", std::array{file_.get()}).kind, Kind::kRefused);
  EXPECT_EQ(other.ask(Kind::kDrop, "device/a").kind, Kind::kRefused);
  EXPECT_EQ(other.ask(Kind::kStatus).text,
            "0 held, used by process " + std::to_string(::getpid()));
}

TEST_F(HolderTest, WhatIsNoThingToParkIsRefused) {
  HolderThread held(at("h.sock"));
  Peer worker(at("h.sock"));
  worker.hello();
  EXPECT_EQ(worker.ask(Kind::kPark, "device/a").kind, Kind::kRefused) << "without a descriptor";
  EXPECT_EQ(worker.ask(Kind::kPark, "a b", std::array{file_.get()}).kind, Kind::kRefused);
  worker.ask(Kind::kDone);
  EXPECT_TRUE(worker.is_ended()) << "whoever says what only the holder says is sent away";
}

TEST_F(HolderTest, ItEndsWhenItHoldsNothing) {
  HolderThread held(at("h.sock"));
  Peer worker(at("h.sock"));
  worker.hello();
  worker.ask(Kind::kPark, "device/a", std::array{file_.get()});
  held.ask_to_end();
  held.wait_for("ending when they are closed");
  EXPECT_EQ(worker.ask(Kind::kStatus).kind, Kind::kDone);
  worker.ask(Kind::kDrop, "device/a");
  held.join();
}

TEST_F(HolderTest, WhatOnlyServesOthersKeepsItFromNothing) {
  HolderThread held(at("h.sock"));
  {
    Peer worker(at("h.sock"));
    worker.hello();
    worker.ask(Kind::kPark, "serving/1", std::array{file_.get()});
  }
  held.ask_to_end();
  held.join();
}

TEST_F(HolderTest, MoreThanASocketHoldsComesWhole) {
  HolderThread held(at("h.sock"));
  constexpr int kCount = 2'000;
  {
    Peer worker(at("h.sock"));
    worker.hello();
    for (int at = 0; at < kCount; ++at) {
      worker.ask(Kind::kPark, "device/" + std::to_string(at), std::array{file_.get()});
    }
  }
  Peer next(at("h.sock"));
  held.wait_for("is gone");
  EXPECT_EQ(next.hello().size(), static_cast<std::size_t>(kCount));
  for (int at = 0; at < kCount; ++at) next.ask(Kind::kDrop, "device/" + std::to_string(at));
}

}  // namespace varve::test
