// What requests of the kernel's ublk do to a content, and what the kernel is told of a device.
#include "ublk/request.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "../transport/memory_device.h"

namespace varve::test {

namespace {

using ublk::IoDescriptor;
using ublk::IoOperation;

constexpr std::uint64_t kSize = 64 * 512;

class VectorMover final : public ublk::DataMover {
 public:
  [[nodiscard]] int take(std::span<std::byte> destination) noexcept override {
    if (error == 0) std::copy_n(data.begin(), destination.size(), destination.begin());
    return error;
  }
  [[nodiscard]] int give(std::span<const std::byte> source) noexcept override {
    if (error == 0) data.assign(source.begin(), source.end());
    return error;
  }

  std::vector<std::byte> data;
  int error = 0;
};

IoDescriptor descriptor(IoOperation operation, std::uint64_t first, std::uint32_t count,
                        std::uint32_t flags = 0) {
  return {.operation = static_cast<std::uint32_t>(operation) | flags,
          .sector_count = count,
          .first_sector = first};
}

class UblkRequestTest : public testing::Test {
 protected:
  std::int32_t carry_out(const IoDescriptor& request, bool is_read_only = false) {
    return ublk::carry_out(request, content_, is_read_only, memory_, mover_);
  }

  MemoryDevice content_{kSize};
  std::vector<std::byte> memory_ = std::vector<std::byte>(8 * 512);
  VectorMover mover_;
};

}  // namespace

TEST_F(UblkRequestTest, WritesAndReadsBack) {
  mover_.data.assign(2 * 512, std::byte{7});
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWrite, 3, 2)), 1024);
  EXPECT_EQ(content_.content()[3 * 512 - 1], std::byte{0});
  EXPECT_EQ(content_.content()[3 * 512], std::byte{7});
  EXPECT_EQ(content_.content()[5 * 512], std::byte{0});
  mover_.data.clear();
  EXPECT_EQ(carry_out(descriptor(IoOperation::kRead, 3, 2), true), 1024);
  EXPECT_EQ(mover_.data, std::vector<std::byte>(1024, std::byte{7}));
  EXPECT_EQ(content_.flush_count, 0U);
}

TEST_F(UblkRequestTest, ADurableWriteIsFlushed) {
  mover_.data.assign(512, std::byte{7});
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWrite, 0, 1, ublk::kDurable)), 512);
  EXPECT_EQ(content_.flush_count, 1U);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kFlush, 0, 0)), 0);
  EXPECT_EQ(content_.flush_count, 2U);
}

TEST_F(UblkRequestTest, ZeroesMayGiveSpaceBackUnlessToldOtherwise) {
  EXPECT_EQ(carry_out(descriptor(IoOperation::kDiscard, 0, 8)), 0);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWriteZeroes, 8, 4)), 0);
  EXPECT_EQ(content_.discarded_bytes, 12U * 512);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWriteZeroes, 0, 2, ublk::kKeepsSpace)), 0);
  EXPECT_EQ(content_.zeroed_bytes, 2U * 512);
}

TEST_F(UblkRequestTest, WhatLiesOutsideOrMakesNoSenseIsRefused) {
  const std::uint64_t sectors = kSize / 512;
  mover_.data.assign(8 * 512, std::byte{7});
  for (const auto operation : {IoOperation::kRead, IoOperation::kWrite, IoOperation::kDiscard,
                               IoOperation::kWriteZeroes}) {
    EXPECT_EQ(carry_out(descriptor(operation, sectors - 1, 2)), -EIO);
    EXPECT_EQ(carry_out(descriptor(operation, sectors, 1)), -EIO);
    EXPECT_EQ(carry_out(descriptor(operation, UINT64_MAX, 1)), -EIO);
    EXPECT_EQ(carry_out(descriptor(operation, 1, UINT32_MAX)), -EIO);
    EXPECT_EQ(carry_out(descriptor(operation, 0, 0)), -EINVAL);
    EXPECT_GE(carry_out(descriptor(operation, sectors - 1, 1)), 0);
  }
  // More than there is memory for.
  EXPECT_EQ(carry_out(descriptor(IoOperation::kRead, 0, 9)), -EINVAL);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWrite, 0, 9)), -EINVAL);
  EXPECT_EQ(carry_out(descriptor(static_cast<IoOperation>(4), 0, 1)), -EOPNOTSUPP);
  EXPECT_EQ(carry_out(descriptor(static_cast<IoOperation>(255), 0, 1)), -EOPNOTSUPP);
}

TEST_F(UblkRequestTest, AReadOnlyDeviceIsNotWritten) {
  for (const auto operation :
       {IoOperation::kWrite, IoOperation::kDiscard, IoOperation::kWriteZeroes}) {
    EXPECT_EQ(carry_out(descriptor(operation, 0, 1), true), -EROFS);
  }
  EXPECT_EQ(carry_out(descriptor(IoOperation::kFlush, 0, 0), true), 0);
  EXPECT_EQ(content_.write_count + content_.flush_count + content_.discarded_bytes, 0U);
}

TEST_F(UblkRequestTest, ErrorsAreThoseOfTheRequest) {
  mover_.data.assign(512, std::byte{7});
  content_.break_range(512, 512, -EILSEQ);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kRead, 1, 1)), -EILSEQ);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWrite, 1, 1, ublk::kDurable)), -EILSEQ);
  EXPECT_EQ(content_.flush_count, 0U);
  mover_.error = -ENODEV;
  EXPECT_EQ(carry_out(descriptor(IoOperation::kRead, 0, 1)), -ENODEV);
  EXPECT_EQ(carry_out(descriptor(IoOperation::kWrite, 2, 1)), -ENODEV);
  EXPECT_EQ(content_.content()[2 * 512], std::byte{0});
}

TEST(UblkParametersTest, AWritableDeviceHasACacheAndDiscards) {
  const ublk::Parameters parameters = ublk::parameters_of(20U << 20, false, 512, 1U << 20);
  EXPECT_EQ(parameters.length, 60U);
  EXPECT_EQ(parameters.kinds, ublk::kHasBasic | ublk::kHasDiscard);
  EXPECT_EQ(parameters.attributes, ublk::kVolatileCache | ublk::kTakesDurableWrites);
  EXPECT_EQ(parameters.logical_block_shift, 9);
  EXPECT_EQ(parameters.request_sectors_max, 2048U);
  EXPECT_EQ(parameters.size_sectors, 40960U);
  EXPECT_EQ(parameters.discard_pieces_max, 1);
  EXPECT_EQ(parameters.discard_granularity, 512U);
  EXPECT_GT(parameters.write_zeroes_sectors_max, 0U);
}

TEST(UblkParametersTest, AReadOnlyOneHasNeither) {
  const ublk::Parameters parameters = ublk::parameters_of(4096, true, 4096, 1U << 20);
  EXPECT_EQ(parameters.kinds, ublk::kHasBasic);
  EXPECT_EQ(parameters.attributes, ublk::kReadOnly);
  EXPECT_EQ(parameters.logical_block_shift, 12);
  EXPECT_EQ(parameters.discard_sectors_max, 0U);
}

// As the kernel's header has them; a wrong number would be refused, or do something else.
TEST(UblkProtocolTest, CommandsAreThoseOfTheKernel) {
  EXPECT_EQ(ublk::kGetDeviceInfo, 0x80207502U);
  EXPECT_EQ(ublk::kAddDevice, 0xc0207504U);
  EXPECT_EQ(ublk::kStopDevice, 0xc0207507U);
  EXPECT_EQ(ublk::kGetFeatures, 0x80207513U);
  EXPECT_EQ(ublk::kFetch, 0xc0107520U);
  EXPECT_EQ(ublk::kCommitAndFetch, 0xc0107521U);
  EXPECT_EQ(ublk::data_position(0), 0x8000'0000U);
  EXPECT_EQ(ublk::data_position(3), 0x8600'0000U);
}

}  // namespace varve::test
