// Where the control socket lies: who can reach it, and what becomes of what is there already.
#include "place/socket_place.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "test/temporary_directory.h"

namespace varve::test {

using SocketPlaceTest = TemporaryDirectory;

namespace {

mode_t mode_of(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const place::PlaceRefused& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_F(SocketPlaceTest, OnlyItsOwnerReachesASocket) {
  const mode_t before = ::umask(0);
  place::make_private_directory(at("new/run"));
  const auto acceptor = place::listen_at(at("new/run/bd.sock"), place::SocketType::kStream);
  EXPECT_EQ(::umask(before), 0U) << "the mask is as it was";
  EXPECT_EQ(mode_of(at("new/run/bd.sock")), 0600U);
  EXPECT_EQ(mode_of(at("new/run")), 0700U);
  EXPECT_EQ(mode_of(at("new")), 0700U);
}

TEST_F(SocketPlaceTest, ADeadSocketIsReplacedALiveOneIsNot) {
  { const auto dead = place::listen_at(at("bd.sock"), place::SocketType::kStream); }
  EXPECT_TRUE(exists("bd.sock"));
  const auto live = place::listen_at(at("bd.sock"), place::SocketType::kStream);
  const std::string text = refusal([&] { place::listen_at(at("bd.sock"), place::SocketType::kStream); });
  EXPECT_NE(text.find("a server answers on " + at("bd.sock")), std::string::npos) << text;
}

TEST_F(SocketPlaceTest, WhatIsNoSocketIsLeftAlone) {
  write_file("bd.sock");
  const std::string text = refusal([&] { place::listen_at(at("bd.sock"), place::SocketType::kStream); });
  EXPECT_NE(text.find("is no socket"), std::string::npos) << text;
  EXPECT_TRUE(exists("bd.sock"));
  const std::string longer = at(std::string(120, 'a'));
  EXPECT_NE(refusal([&] { place::listen_at(longer, place::SocketType::kStream); }).find("takes 107"), std::string::npos);
}

TEST_F(SocketPlaceTest, ALockHasOneHolderAndIsDeletedByIt) {
  {
    const place::HeldLock lock(at("lock"), "the socket", "varve-bd");
    const std::string text = refusal([&] {
      const place::HeldLock other(at("lock"), "the socket", "varve-bd");
    });
    EXPECT_NE(text.find("the socket belongs to a varve-bd that runs (process " +
                        std::to_string(::getpid()) + ")"),
              std::string::npos)
        << text;
  }
  EXPECT_FALSE(exists("lock"));
  write_file("lock", "12");
  const place::HeldLock lock(at("lock"), "what is left of a dead process", "varve-bd");
}

}  // namespace varve::test
