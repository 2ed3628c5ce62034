// The content between transport and image: what is counted, what is told, and that writes wait
// while the image must not change.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "bd/metered_device.h"
#include "test/bd/memory_images.h"

namespace varve::test {

using bd::Counted;

namespace {

class Failures final : public bd::FailureListener {
 public:
  void request_failed(Counted kind, const io::ByteRange& range, int error) noexcept override {
    ++count;
    last = kind;
    last_range = range;
    last_error = error;
  }
  unsigned count = 0;
  Counted last = Counted::kRead;
  io::ByteRange last_range;
  int last_error = 0;
};

struct MeteredTest : ::testing::Test {
  std::shared_ptr<bd::DeviceMetrics> metrics = std::make_shared<bd::DeviceMetrics>();
  std::shared_ptr<Failures> failures = std::make_shared<Failures>();
  bd::MeteredDevice device{std::make_unique<MemoryImage>(true), metrics, failures};
  MemoryImage& image = static_cast<MemoryImage&>(device.image());
  std::array<std::byte, 4096> block{};
};

}  // namespace

TEST_F(MeteredTest, EveryKindOfRequestIsCountedAsItself) {
  EXPECT_EQ(device.read(block, 0), 0);
  EXPECT_EQ(device.write(block, 0), 0);
  EXPECT_EQ(device.discard(0, 8192), 0);
  EXPECT_EQ(device.write_zeroes(0, 512), 0);
  EXPECT_EQ(device.flush(), 0);
  const std::array<std::uint64_t, bd::kCountedKinds> bytes = {4096, 4096, 8192, 512, 0};
  for (std::size_t kind = 0; kind < bd::kCountedKinds; ++kind) {
    const bd::Counts counts = metrics->read(static_cast<Counted>(kind));
    EXPECT_EQ(counts.requests(), 1U) << kind;
    EXPECT_EQ(counts.bytes, bytes[kind]) << kind;
    EXPECT_EQ(counts.errors, 0U) << kind;
  }
  EXPECT_EQ(failures->count, 0U);
}

TEST_F(MeteredTest, AFailureIsPassedOnCountedAndTold) {
  image.error = -ENOSPC;
  EXPECT_EQ(device.write(block, 512), -ENOSPC);
  EXPECT_EQ(metrics->read(Counted::kWrite).errors, 1U);
  EXPECT_EQ(metrics->read(Counted::kWrite).bytes, 0U);
  EXPECT_EQ(failures->count, 1U);
  EXPECT_EQ(failures->last, Counted::kWrite);
  EXPECT_EQ(failures->last_range.offset, 512U);
  EXPECT_EQ(failures->last_range.length, 4096U);
  EXPECT_EQ(failures->last_error, -ENOSPC);
}

TEST_F(MeteredTest, AClosedGateWaitsForWritesAndHoldsLaterOnesBack) {
  image.writes.close();
  std::thread first([this] { EXPECT_EQ(device.write(block, 0), 0); });
  image.writes.wait_for(1);
  std::atomic<bool> is_closed = false;
  std::thread second;
  std::thread closer([&] {
    const bd::ClosedGate gate(device.gate());
    EXPECT_EQ(image.writes_inside, 0U);
    is_closed = true;
    second = std::thread([this] { EXPECT_EQ(device.write(block, 0), 0); });
    for (int turn = 0; turn < 1000; ++turn) {
      EXPECT_EQ(image.writes_inside, 0U) << "a write came in";
      EXPECT_EQ(device.read(block, 0), 0) << "reads go on";
      std::this_thread::yield();
    }
  });
  EXPECT_FALSE(is_closed) << "while a write is inside";
  image.writes.open();
  first.join();
  closer.join();
  second.join();
  EXPECT_EQ(metrics->read(Counted::kWrite).requests(), 2U);
}

TEST_F(MeteredTest, AGateUnderManyWritersNeverLetsOneIn) {
  std::atomic<bool> is_done = false;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&] {
      while (!is_done) EXPECT_EQ(device.write(block, 0), 0);
    });
  }
  for (int turn = 0; turn < 2000; ++turn) {
    const bd::ClosedGate gate(device.gate());
    EXPECT_EQ(image.writes_inside, 0U);
  }
  is_done = true;
  for (std::thread& writer : writers) writer.join();
}

}  // namespace varve::test
