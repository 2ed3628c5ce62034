// The cache between libext2fs and a disk, held against plain bytes: also when it has room for a few
// pages only, so that it has to let them go.
#include <gtest/gtest.h>

#include <algorithm>

#include "apply/block_cache.h"
#include "test/lsmt/random.h"
#include "test/memory_file.h"

namespace varve::test {
namespace {

constexpr std::size_t kSector = 512;
constexpr std::size_t kPage = 4096;
// The last page is cut off.
constexpr std::size_t kDiskSize = 40 * kPage + 3 * kSector;

using Bytes = std::vector<std::byte>;

class BlockCacheTest : public ::testing::Test {
 protected:
  Bytes random_bytes(std::size_t length) {
    Bytes bytes(length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_.below(256));
    return bytes;
  }

  // A range in steps of `unit`.
  io::ByteRange random_range(std::size_t unit, std::size_t length_max) {
    const std::uint64_t first = random_.below(kDiskSize / unit);
    const std::uint64_t rest = kDiskSize / unit - first;
    return {first * unit, random_.between(1, std::min<std::uint64_t>(rest, length_max / unit)) *
                              unit};
  }

  void expect_read(apply::BlockCache& cache, const io::ByteRange& range) {
    Bytes read(range.length);
    ASSERT_EQ(cache.read(read, range.offset), 0);
    const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(range.offset);
    ASSERT_TRUE(std::equal(read.begin(), read.end(), begin)) << "at " << range.offset;
  }

  void expect_on_disk(const apply::BlockStore& store) {
    Bytes read(kDiskSize);
    ASSERT_EQ(store.read(read, 0), 0);
    ASSERT_EQ(read, model_);
  }

  void change_model(const io::ByteRange& range, const Bytes& bytes) {
    std::copy(bytes.begin(), bytes.end(),
              model_.begin() + static_cast<std::ptrdiff_t>(range.offset));
  }

  Random random_{0};
  Bytes model_ = Bytes(kDiskSize);
};

TEST_F(BlockCacheTest, ReadsAreWhatWasWrittenLastInWhicheverWay) {
  const std::uint64_t first = choose_seed();
  for (const std::size_t pages_max : {std::size_t{1}, std::size_t{2}, std::size_t{7}, kDiskSize}) {
    SCOPED_TRACE(std::to_string(pages_max) + " pages, VARVE_SEED=" + std::to_string(first));
    random_ = Random(first);
    model_.assign(kDiskSize, std::byte{0});
    apply::FileStore store(std::make_unique<MemoryFile>(model_));
    apply::BlockCache cache(store, pages_max);
    for (unsigned step = 0; step < 3000; ++step) {
      const std::uint64_t kind = random_.below(20);
      if (kind == 0) {
        ASSERT_EQ(cache.flush(), 0);
        expect_on_disk(store);
      } else if (kind < 8) {
        expect_read(cache, random_range(1, 3 * kPage));
      } else if (kind < 14) {
        const io::ByteRange range = random_range(1, 2 * kPage);
        const Bytes bytes = random_bytes(range.length);
        ASSERT_EQ(cache.write(bytes, range.offset), 0);
        change_model(range, bytes);
      } else {
        const io::ByteRange range = random_range(kSector, 2 * kPage);
        const Bytes bytes = random_bytes(range.length);
        ASSERT_EQ(cache.write_content(bytes, range.offset), 0);
        change_model(range, bytes);
      }
    }
    expect_read(cache, {0, kDiskSize});
    ASSERT_EQ(cache.flush(), 0);
    expect_on_disk(store);
  }
}

TEST_F(BlockCacheTest, WhatLiesBeyondTheDiskIsRefused) {
  apply::FileStore store(std::make_unique<MemoryFile>(model_));
  apply::BlockCache cache(store);
  Bytes bytes(kSector);
  for (const std::uint64_t offset : {kDiskSize - kSector + 1, kDiskSize, SIZE_MAX - 10}) {
    EXPECT_EQ(cache.read(bytes, offset), -EINVAL);
    EXPECT_EQ(cache.write(bytes, offset), -ENOSPC);
    EXPECT_EQ(cache.write_content(bytes, offset), -ENOSPC);
  }
  EXPECT_EQ(cache.read(bytes, kDiskSize - kSector), 0);
}

}  // namespace
}  // namespace varve::test
