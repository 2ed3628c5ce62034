// Requests as bytes: what each gets as an answer, also those that no kernel would send.
#include "transport/fuse_protocol.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>

#include "test/transport/memory_device.h"

namespace varve::test {

using transport::FuseProtocol;
using transport::RequestBuffer;

class FuseProtocolTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kSize = 64 * 1024;

  struct Answer {
    bool is_there = false;
    int error = 0;
    std::span<const std::byte> payload;

    template <typename Structure>
    [[nodiscard]] Structure as() const {
      Structure structure = {};
      EXPECT_GE(payload.size(), sizeof structure);
      std::memcpy(&structure, payload.data(), std::min(payload.size(), sizeof structure));
      return structure;
    }
  };

  static std::span<std::byte> tail(std::span<std::byte> bytes, std::size_t used) {
    return bytes.subspan(used);
  }

  Answer send(std::uint32_t opcode, std::span<const std::byte> body, std::uint64_t node = 1,
              std::ptrdiff_t length_error = 0) {
    fuse_in_header header = {};
    const std::size_t bytes = sizeof header + body.size();
    header.len = static_cast<std::uint32_t>(static_cast<std::ptrdiff_t>(bytes) + length_error);
    header.opcode = opcode;
    header.unique = 0x8000'0000'0000'0042;  // as one that is sent again
    header.nodeid = node;
    std::memcpy(buffer_.request().data(), &header, sizeof header);
    std::copy(body.begin(), body.end(), tail(buffer_.request(), sizeof header).begin());
    return read_answer(protocol_->answer(buffer_, bytes), header.unique);
  }

  template <typename Structure>
  Answer send(std::uint32_t opcode, const Structure& body) {
    return send(opcode, std::as_bytes(std::span(&body, 1)));
  }

  static Answer read_answer(std::span<const std::byte> bytes, std::uint64_t unique) {
    if (bytes.empty()) return {};
    fuse_out_header header = {};
    EXPECT_GE(bytes.size(), sizeof header);
    std::memcpy(&header, bytes.data(), sizeof header);
    EXPECT_EQ(header.len, bytes.size());
    EXPECT_EQ(header.unique, unique);
    return {.is_there = true, .error = header.error, .payload = bytes.subspan(sizeof header)};
  }

  static fuse_init_in greeting(std::uint32_t major, std::uint32_t minor) {
    fuse_init_in in = {};
    in.major = major;
    in.minor = minor;
    in.flags = 0xFFFFFFFF;
    in.flags2 = 0xFFFFFFFF;
    return in;
  }

  Answer send_write(std::uint64_t offset, std::uint32_t told_size, std::size_t carried) {
    std::vector<std::byte> body(sizeof(fuse_write_in) + carried, std::byte{7});
    fuse_write_in in = {};
    in.offset = offset;
    in.size = told_size;
    std::memcpy(body.data(), &in, sizeof in);
    return send(FUSE_WRITE, std::span<const std::byte>(body));
  }

  Answer send_allocate(std::uint64_t offset, std::uint64_t length, std::uint32_t mode) {
    fuse_fallocate_in in = {};
    in.offset = offset;
    in.length = length;
    in.mode = mode;
    return send(FUSE_FALLOCATE, in);
  }

  Answer send_read(std::uint64_t offset, std::uint32_t size) {
    fuse_read_in in = {};
    in.offset = offset;
    in.size = size;
    return send(FUSE_READ, in);
  }

  MemoryDevice device_{kSize};
  RequestBuffer buffer_;
  std::unique_ptr<FuseProtocol> protocol_ = std::make_unique<FuseProtocol>(device_, false);
};

TEST_F(FuseProtocolTest, AgreesOnLargeAsynchronousRequests) {
  const auto out = send(FUSE_INIT, greeting(7, 45)).as<fuse_init_out>();
  EXPECT_EQ(out.major, 7U);
  EXPECT_LE(out.minor, 45U);
  EXPECT_EQ(out.max_write, 1U << 20);
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_EQ(out.max_background, 256U);
  EXPECT_NE(out.flags & FUSE_ASYNC_DIO, 0U);
  EXPECT_EQ(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_SPLICE_READ), 0U);
  EXPECT_EQ(out.flags2, 1U << 7);  // resend, and nothing else of the second word
}

TEST_F(FuseProtocolTest, AgreesWithAKernelThatKnowsLess) {
  fuse_init_in in = greeting(7, 31);
  in.flags = FUSE_ASYNC_READ;
  // As long as the structure was then.
  const auto bytes = std::as_bytes(std::span(&in, 1)).first(offsetof(fuse_init_in, flags2));
  const auto out = send(FUSE_INIT, bytes).as<fuse_init_out>();
  EXPECT_EQ(out.minor, 31U);
  EXPECT_EQ(out.flags, static_cast<std::uint32_t>(FUSE_ASYNC_READ));
  EXPECT_EQ(out.flags2, 0U);
  EXPECT_EQ(out.max_write, 128U * 1024);
}

TEST_F(FuseProtocolTest, RefusesVersionsThatItDoesNotSpeak) {
  EXPECT_EQ(send(FUSE_INIT, greeting(6, 99)).error, -EPROTO);
  EXPECT_EQ(send(FUSE_INIT, greeting(7, 27)).error, -EPROTO);
  const Answer newer = send(FUSE_INIT, greeting(8, 0));
  EXPECT_EQ(newer.error, 0);
  EXPECT_EQ(newer.as<fuse_init_out>().major, 7U);
  EXPECT_EQ(send(FUSE_INIT, std::uint64_t{7}).error, -EIO);
}

TEST_F(FuseProtocolTest, ReadsWithinTheSizeAndNothingBeyondIt) {
  device_.fill(std::vector<std::byte>(kSize, std::byte{9}));
  EXPECT_EQ(send_read(0, 4096).payload.size(), 4096U);
  EXPECT_EQ(send_read(kSize - 512, 4096).payload.size(), 512U);
  EXPECT_EQ(send_read(kSize, 4096).payload.size(), 0U);
  EXPECT_EQ(send_read(UINT64_MAX, 4096).payload.size(), 0U);
  EXPECT_EQ(send_read(0, 0).payload.size(), 0U);
  EXPECT_EQ(send_read(0, (1U << 20) + 1).error, -EINVAL);
  EXPECT_EQ(send_read(0, UINT32_MAX).error, -EINVAL);
  const Answer answer = send_read(1024, 512);
  EXPECT_TRUE(std::all_of(answer.payload.begin(), answer.payload.end(),
                          [](std::byte byte) { return byte == std::byte{9}; }));
}

TEST_F(FuseProtocolTest, WritesWithinTheSizeAndNothingBeyondIt) {
  EXPECT_EQ(send_write(512, 1024, 1024).as<fuse_write_out>().size, 1024U);
  EXPECT_EQ(device_.content()[512], std::byte{7});
  EXPECT_EQ(device_.content()[1535], std::byte{7});
  EXPECT_EQ(device_.content()[1536], std::byte{0});
  EXPECT_EQ(send_write(kSize - 512, 1024, 1024).error, -ENOSPC);
  EXPECT_EQ(send_write(kSize, 512, 512).error, -ENOSPC);
  EXPECT_EQ(send_write(UINT64_MAX - 255, 512, 512).error, -ENOSPC);
  EXPECT_EQ(send_write(0, 512, 511).error, -EIO);
  EXPECT_EQ(send_write(0, UINT32_MAX, 512).error, -EIO);
  EXPECT_EQ(device_.write_count, 1U);
}

TEST_F(FuseProtocolTest, TellsDiscardFromZeroesAndRefusesOtherAllocation) {
  EXPECT_EQ(send_allocate(4096, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE).error, 0);
  EXPECT_EQ(device_.discarded_bytes, 4096U);
  EXPECT_EQ(send_allocate(8192, 512, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE).error, 0);
  EXPECT_EQ(device_.zeroed_bytes, 512U);
  EXPECT_EQ(send_allocate(0, 4096, 0).error, -EOPNOTSUPP);
  EXPECT_EQ(send_allocate(0, 4096, FALLOC_FL_COLLAPSE_RANGE).error, -EOPNOTSUPP);
  EXPECT_EQ(send_allocate(0, 0, FALLOC_FL_PUNCH_HOLE).error, -EINVAL);
  EXPECT_EQ(send_allocate(4096, kSize, FALLOC_FL_PUNCH_HOLE).error, -EINVAL);
  EXPECT_EQ(send_allocate(4096, UINT64_MAX, FALLOC_FL_PUNCH_HOLE).error, -EINVAL);
  EXPECT_EQ(device_.discarded_bytes, 4096U);
}

TEST_F(FuseProtocolTest, AReadOnlyDeviceIsNeverWritten) {
  protocol_ = std::make_unique<FuseProtocol>(device_, true);
  EXPECT_EQ(send_write(0, 512, 512).error, -EROFS);
  EXPECT_EQ(send_allocate(0, 4096, FALLOC_FL_PUNCH_HOLE).error, -EROFS);
  EXPECT_EQ(send(FUSE_FSYNC, fuse_fsync_in{}).error, 0);
  EXPECT_EQ(device_.write_count + device_.flush_count + device_.discarded_bytes, 0U);
  EXPECT_EQ(send(FUSE_GETATTR, fuse_getattr_in{}).as<fuse_attr_out>().attr.mode, 0100400U);
}

TEST_F(FuseProtocolTest, PassesErrorsOnAsTheKernelTakesThem) {
  device_.break_range(0, 512);
  EXPECT_EQ(send_read(0, 4096).error, -EIO);
  EXPECT_EQ(send_read(0, 4096).payload.size(), 0U);
  EXPECT_EQ(send_write(0, 512, 512).error, -EIO);
  // The kernel throws such a reply away, and the reader would wait for ever.
  device_.break_range(0, 512, -4000);
  EXPECT_EQ(send_read(0, 4096).error, -EIO);
  device_.break_range(0, 512, 17);
  EXPECT_EQ(send_read(0, 4096).error, -EIO);
}

TEST_F(FuseProtocolTest, AnswersWhatItDoesNotKnowWithNosys) {
  for (const std::uint32_t opcode : {FUSE_SETATTR, FUSE_GETXATTR, FUSE_IOCTL, FUSE_LSEEK,
                                     FUSE_FLUSH, FUSE_TMPFILE}) {
    EXPECT_EQ(send(opcode, std::uint64_t{0}).error, -ENOSYS) << opcode;
  }
  EXPECT_EQ(send(60000, std::span<const std::byte>()).error, -ENOSYS);
  EXPECT_EQ(send(UINT32_MAX, std::span<const std::byte>()).error, -ENOSYS);
}

TEST_F(FuseProtocolTest, AnswersNothingWhereNothingIsExpected) {
  EXPECT_FALSE(send(FUSE_FORGET, fuse_forget_in{}).is_there);
  EXPECT_FALSE(send(FUSE_BATCH_FORGET, fuse_batch_forget_in{}).is_there);
  EXPECT_FALSE(send(FUSE_INTERRUPT, fuse_interrupt_in{}).is_there);
}

TEST_F(FuseProtocolTest, RefusesRequestsThatAreCutOrLieAboutTheirLength) {
  for (const std::uint32_t opcode : {FUSE_INIT, FUSE_READ, FUSE_WRITE, FUSE_FALLOCATE}) {
    EXPECT_EQ(send(opcode, std::uint32_t{0}).error, -EIO) << opcode;
  }
  EXPECT_EQ(send(FUSE_GETATTR, {}, 1, 8).error, -EIO);
  EXPECT_EQ(send(FUSE_GETATTR, {}, 1, -8).error, -EIO);
  EXPECT_EQ(send(FUSE_GETATTR, {}, 2).error, -ESTALE);
  EXPECT_TRUE(protocol_->answer(buffer_, 0).empty());
  EXPECT_TRUE(protocol_->answer(buffer_, 39).empty());
  EXPECT_TRUE(protocol_->answer(buffer_, SIZE_MAX).empty());
}

TEST_F(FuseProtocolTest, AnyBytesGetAnAnswerThatTheKernelTakes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::uint64_t fields[16] = {};
    // Mostly small numbers, so that fields are often almost right.
    for (std::uint64_t& field : fields) field = random() >> (random() % 64);
    const std::size_t bytes = random() % (sizeof fields + 1);
    const auto body = std::as_bytes(std::span(fields)).first(bytes);
    const Answer answer = send(static_cast<std::uint32_t>(random() % 56), body);
    EXPECT_LE(answer.error, 0);
    EXPECT_GT(answer.error, -512);
    EXPECT_TRUE(answer.error == 0 || answer.payload.empty());
  }
  EXPECT_EQ(device_.size(), kSize);
}

}  // namespace varve::test
