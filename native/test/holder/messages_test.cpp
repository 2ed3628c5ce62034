// What goes over the holder's socket: messages come out as they went in, and bytes that are none are
// refused without a descriptor being lost.
#include "holder/messages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <random>

namespace varve::test {

namespace {

using holder::Kind;
using holder::Message;

std::size_t descriptor_count() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

class MessagesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends = {};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    here_.reset(ends[0]);
    there_.reset(ends[1]);
  }

  UniqueFd here_;
  UniqueFd there_;
};

}  // namespace

TEST_F(MessagesTest, DescriptorsArriveAsThoseOfTheSameFiles) {
  const UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(holder::send_message(here_.get(), Kind::kPark, "device/1",
                                 std::array{zero.get(), null.get()}),
            0);
  Message message;
  ASSERT_EQ(holder::receive_message(there_.get(), message), 0);
  EXPECT_EQ(message.kind, Kind::kPark);
  EXPECT_EQ(message.text, "device/1");
  ASSERT_EQ(message.descriptors.size(), 2U);
  struct stat sent = {};
  struct stat received = {};
  ::fstat(null.get(), &sent);
  ::fstat(message.descriptors[1].get(), &received);
  EXPECT_EQ(sent.st_rdev, received.st_rdev);
  EXPECT_NE(::fcntl(message.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(MessagesTest, AnEndAndAnEmptySocketAreToldApart) {
  Message message;
  EXPECT_EQ(holder::receive_message(there_.get(), message), -EAGAIN);
  here_.reset();
  EXPECT_EQ(holder::receive_message(there_.get(), message), -EPIPE);
}

TEST_F(MessagesTest, WhatIsTooMuchIsNotSent) {
  EXPECT_EQ(holder::send_message(here_.get(), Kind::kPark, std::string(holder::kTextBytesMax + 1, 'a')),
            -E2BIG);
  const std::array<int, holder::kDescriptorsMax + 1> many = {0, 0, 0, 0, 0};
  EXPECT_EQ(holder::send_message(here_.get(), Kind::kPark, "a", many), -E2BIG);
}

TEST_F(MessagesTest, BytesThatAreNoMessageAreRefusedAndLeakNothing) {
  const std::size_t before = descriptor_count();
  std::mt19937 random(1);
  ASSERT_EQ(holder::send_message(here_.get(), Kind::kPark, "name", std::array{here_.get()}), 0);
  std::array<std::byte, 64> whole = {};
  const ssize_t length = ::recv(there_.get(), whole.data(), whole.size(), 0);
  ASSERT_GT(length, 0);
  const auto bytes = std::span(whole).first(static_cast<std::size_t>(length));
  const auto receive = [&](std::span<const std::byte> sent) {
    EXPECT_EQ(::send(here_.get(), sent.data(), sent.size(), 0), static_cast<ssize_t>(sent.size()));
    Message message;
    return holder::receive_message(there_.get(), message);
  };
  EXPECT_EQ(receive(bytes), 0);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) EXPECT_EQ(receive(bytes.first(cut)), -EPROTO);
  // A text may be anything; all that comes before it is checked.
  for (std::size_t at = 0; at < 8; ++at) {
    for (const unsigned flip : {1U, 0x80U}) {
      std::array<std::byte, 64> damaged = whole;
      damaged[at] ^= static_cast<std::byte>(flip);
      const int error = receive(std::span(damaged).first(bytes.size()));
      // The kind beside kPark is another one.
      if (at != 4 || flip != 1U) {
        EXPECT_EQ(error, -EPROTO) << at << " " << flip;
      }
    }
  }
  EXPECT_EQ(receive(std::array<std::byte, 4096>{}), -EPROTO);
  EXPECT_EQ(descriptor_count(), before);
}

TEST(NamesTest, AreShortAndPlain) {
  EXPECT_TRUE(holder::is_name("device/0123456789abcdef"));
  EXPECT_FALSE(holder::is_name(""));
  EXPECT_FALSE(holder::is_name("a\nb"));
  EXPECT_FALSE(holder::is_name("a\"b"));
  EXPECT_FALSE(holder::is_name(std::string(201, 'a')));
}

}  // namespace varve::test
