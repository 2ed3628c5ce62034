// Reading and writing through the whole path: block device, loop device, FUSE, content.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <random>
#include <thread>

#include "test/transport/transport_test_case.h"

namespace varve::test {

using TransportTest = TransportTestCase;

namespace {

bool equal(std::span<const std::byte> one, std::span<const std::byte> other) {
  return one.size() == other.size() && std::memcmp(one.data(), other.data(), one.size()) == 0;
}

std::uint64_t size_of(int device) {
  std::uint64_t bytes = 0;
  EXPECT_EQ(::ioctl(device, BLKGETSIZE64, &bytes), 0);
  return bytes;
}

}  // namespace

TEST_F(TransportTest, UsesDirectInputAndOutput) {
  const auto content = std::make_shared<MemoryDevice>(8 * kMebibyte);
  const auto device = attach(content);
  EXPECT_TRUE(device->has_direct_io());
  const UniqueFd fd = open_device(*device, O_RDONLY | O_DIRECT);
  EXPECT_EQ(size_of(fd.get()), 8 * kMebibyte);
  int sector = 0;
  EXPECT_EQ(::ioctl(fd.get(), BLKSSZGET, &sector), 0);
  EXPECT_EQ(sector, 512);
  const AlignedBytes bytes(4 * kMebibyte);
  EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
  EXPECT_GE(content->largest_read_bytes, kMebibyte / 2) << "requests are small";
}

TEST_F(TransportTest, ReadsAndWritesLikeAModel) {
  constexpr std::size_t kSize = 4 * kMebibyte;
  const auto content = std::make_shared<MemoryDevice>(kSize);
  const auto device = attach(content);
  const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  std::vector<std::byte> model(kSize);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    const std::size_t offset = random() % (kSize / 512) * 512;
    const std::size_t length_max = std::min(kSize - offset, std::size_t{1} << (9 + random() % 12));
    const std::size_t length = std::max<std::size_t>(512, random() % length_max / 512 * 512);
    const std::span<std::byte> expected = std::span(model).subspan(offset, length);
    const AlignedBytes bytes((length + kBlock - 1) / kBlock * kBlock,
                             static_cast<std::byte>(random()));
    const std::span<std::byte> part = bytes.span().first(length);
    switch (random() % 4) {
      case 0:
      case 1:
        ASSERT_EQ(write_device(fd.get(), part, offset), 0);
        std::copy(part.begin(), part.end(), expected.begin());
        break;
      case 2: {
        std::uint64_t range[2] = {offset, length};
        ASSERT_EQ(::ioctl(fd.get(), BLKZEROOUT, range), 0);
        std::fill(expected.begin(), expected.end(), std::byte{0});
        break;
      }
      default:
        ASSERT_EQ(read_device(fd.get(), part, offset), 0);
        ASSERT_TRUE(equal(part, expected)) << offset << " + " << length;
    }
  }
  EXPECT_TRUE(equal(content->content(), model));
}

TEST_F(TransportTest, ThreadsReadAndWriteAtOnce) {
  constexpr std::size_t kThreads = 4;
  const auto content = std::make_shared<MemoryDevice>(kThreads * kMebibyte);
  const auto device = attach(content);
  std::vector<std::thread> threads;
  for (std::size_t index = 0; index < kThreads; ++index) {
    threads.emplace_back([&, index] {
      const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
      for (std::size_t round = 0; round < 64; ++round) {
        const auto value = static_cast<std::byte>(index * 64 + round);
        const std::uint64_t offset = index * kMebibyte + round * 16384;
        const AlignedBytes written(16384, value);
        EXPECT_EQ(write_device(fd.get(), written.span(), offset), 0);
        const AlignedBytes back(16384);
        EXPECT_EQ(read_device(fd.get(), back.span(), offset), 0);
        EXPECT_TRUE(equal(back.span(), written.span()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TransportTest, AReadOnlyDeviceCannotBeWritten) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  content->fill(std::vector<std::byte>(kMebibyte, std::byte{5}));
  const auto device = attach(content, true);
  int is_read_only = 0;
  const UniqueFd fd = open_device(*device, O_RDONLY | O_DIRECT);
  EXPECT_EQ(::ioctl(fd.get(), BLKROGET, &is_read_only), 0);
  EXPECT_EQ(is_read_only, 1);
  const AlignedBytes bytes(kBlock);
  EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
  EXPECT_EQ(bytes.span()[0], std::byte{5});
  const UniqueFd writer(::open(device->path().c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(!writer || write_device(writer.get(), bytes.span(), 0) < 0);
  EXPECT_EQ(content->write_count, 0U);
}

TEST_F(TransportTest, ABlockThatCannotBeReadIsAnErrorOfThatBlockAlone) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  content->break_range(10 * kBlock + 512, 512);
  const auto device = attach(content);
  const AlignedBytes bytes(kBlock);
  const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  for (std::size_t block = 0; block < kMebibyte / kBlock; ++block) {
    const int expected = block == 10 ? -EIO : 0;
    EXPECT_EQ(read_device(fd.get(), bytes.span(), block * kBlock), expected) << block;
  }
  // The page cache reads several blocks as one, and has the error for these.
  const UniqueFd cached = open_device(*device, O_RDONLY);
  EXPECT_EQ(read_device(cached.get(), bytes.span(), 10 * kBlock), -EIO);
  EXPECT_EQ(read_device(cached.get(), bytes.span(), 200 * kBlock), 0);
  EXPECT_EQ(write_device(fd.get(), bytes.span(), 10 * kBlock), -EIO);
  EXPECT_EQ(write_device(fd.get(), bytes.span(), 11 * kBlock), 0);
}

TEST_F(TransportTest, DiscardZeroesAndFlushReachTheContent) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  content->fill(std::vector<std::byte>(kMebibyte, std::byte{5}));
  const auto device = attach(content);
  const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  std::uint64_t discarded[2] = {kBlock, 4 * kBlock};
  EXPECT_EQ(::ioctl(fd.get(), BLKDISCARD, discarded), 0);
  EXPECT_EQ(content->discarded_bytes, 4 * kBlock);
  EXPECT_EQ(content->content()[kBlock - 1], std::byte{5});
  EXPECT_EQ(content->content()[kBlock], std::byte{0});
  EXPECT_EQ(content->content()[5 * kBlock], std::byte{5});
  // Zeros that must keep their space.
  EXPECT_EQ(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 16 * kBlock, kBlock),
            0);
  EXPECT_EQ(content->zeroed_bytes, kBlock);
  const std::uint64_t flushes_before = content->flush_count;
  EXPECT_EQ(::fdatasync(fd.get()), 0);
  EXPECT_GT(content->flush_count, flushes_before);
}

TEST_F(TransportTest, TakesOverANewSize) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  content->resize(3 * kMebibyte);
  EXPECT_EQ(device->resized(), 0);
  EXPECT_EQ(size_of(fd.get()), 3 * kMebibyte);
  const AlignedBytes bytes(kBlock, std::byte{8});
  EXPECT_EQ(write_device(fd.get(), bytes.span(), 3 * kMebibyte - kBlock), 0);
  EXPECT_EQ(content->content().back(), std::byte{8});
}

TEST_F(TransportTest, RefusesSizesThatNoDeviceHas) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{513}}) {
    EXPECT_THROW(attach(std::make_shared<MemoryDevice>(size)), transport::TransportError);
  }
}

TEST_F(TransportTest, AHundredDevicesAreAttachedAtOnce) {
  constexpr std::size_t kDevices = 100;
  std::vector<std::unique_ptr<transport::AttachedDevice>> devices(kDevices);
  std::vector<std::thread> threads;
  for (std::size_t index = 0; index < kDevices; ++index) {
    threads.emplace_back([&, index] {
      const auto content = std::make_shared<MemoryDevice>(64 * kBlock);
      content->fill(std::vector<std::byte>(64 * kBlock, static_cast<std::byte>(index)));
      devices[index] = attach(content);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool_->connection_count(), kDevices);
  std::set<std::string> paths;
  for (std::size_t index = 0; index < kDevices; ++index) {
    paths.insert(devices[index]->path());
    const UniqueFd fd = open_device(*devices[index], O_RDONLY | O_DIRECT);
    const AlignedBytes bytes(kBlock);
    ASSERT_EQ(read_device(fd.get(), bytes.span(), 63 * kBlock), 0);
    EXPECT_EQ(bytes.span()[0], static_cast<std::byte>(index));
  }
  EXPECT_EQ(paths.size(), kDevices);
  threads.clear();
  for (const auto& device : devices) threads.emplace_back([&] { expect_gone(*device); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TransportTest, ADeviceWhoseReadsHangDelaysNoOther) {
  const auto stuck_content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto stuck = attach(stuck_content);
  stuck_content->stall_reads();
  std::vector<std::thread> readers;
  constexpr unsigned kReaders = 16;  // more than there are threads at the beginning
  for (unsigned index = 0; index < kReaders; ++index) {
    readers.emplace_back([&, index] {
      const UniqueFd fd = open_device(*stuck, O_RDONLY | O_DIRECT);
      const AlignedBytes bytes(kBlock);
      EXPECT_EQ(read_device(fd.get(), bytes.span(), index * kBlock), 0);
    });
  }
  EXPECT_TRUE(stuck_content->wait_for_stalled(kReaders));
  {
    const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
    const UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
    const AlignedBytes bytes(kBlock);
    EXPECT_EQ(write_device(fd.get(), bytes.span(), 0), 0);
    EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
  }
  EXPECT_GT(pool_->thread_count(), kReaders);
  stuck_content->let_reads_go();
  for (std::thread& reader : readers) reader.join();
  expect_gone(*stuck);
}

TEST_F(TransportTest, HoweverManyDevicesHangTheOthersAreServed) {
  constexpr unsigned kThreadsMax = 8;
  constexpr unsigned kReaders = 16;  // of each device
  transport::FuseTransport transport(std::make_shared<transport::ServingPool>(
      transport::ServingPoolOptions{.threads_min = 2, .threads_max = kThreadsMax}));
  const auto attach_one = [&](const std::shared_ptr<MemoryDevice>& content) {
    return transport.attach(content, {.name = unique_name()});
  };
  // Half of the threads, half of the rest and so on, and one for each when there are none.
  const std::vector<unsigned> shares = {4, 2, 1, 1, 1, 1};
  const auto sound = attach_one(std::make_shared<MemoryDevice>(kMebibyte));
  std::vector<std::shared_ptr<MemoryDevice>> contents;
  std::vector<std::unique_ptr<transport::AttachedDevice>> stuck;
  for (std::size_t index = 0; index < shares.size(); ++index) {
    contents.push_back(std::make_shared<MemoryDevice>(kMebibyte));
    stuck.push_back(attach_one(contents.back()));
    contents.back()->stall_reads();
  }
  std::vector<std::thread> readers;
  for (std::size_t index = 0; index < shares.size(); ++index) {
    for (unsigned reader = 0; reader < kReaders; ++reader) {
      readers.emplace_back([&, index, reader] {
        const UniqueFd fd = open_device(*stuck[index], O_RDONLY | O_DIRECT);
        const AlignedBytes bytes(kBlock);
        EXPECT_EQ(read_device(fd.get(), bytes.span(), reader * kBlock), 0);
      });
    }
    const bool has_its_share = contents[index]->wait_for_stalled(shares[index]);
    EXPECT_TRUE(has_its_share) << "device " << index;
    if (!has_its_share) break;
  }
  std::promise<void> is_served;
  std::thread user([&] {
    const UniqueFd fd = open_device(*sound, O_RDWR | O_DIRECT);
    const AlignedBytes bytes(kBlock);
    EXPECT_EQ(write_device(fd.get(), bytes.span(), 0), 0);
    EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
    const auto next = attach_one(std::make_shared<MemoryDevice>(kMebibyte));
    expect_gone(*next);
    is_served.set_value();
  });
  EXPECT_EQ(is_served.get_future().wait_for(10s), std::future_status::ready);
  for (const auto& content : contents) content->let_reads_go();
  for (std::thread& reader : readers) reader.join();
  user.join();
  for (const auto& device : stuck) expect_gone(*device);
  expect_gone(*sound);
}

}  // namespace varve::test
