// Reading by range gives what reading the whole gives.
#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <thread>

#include "io/bytes.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "zfile/reader.h"
#include "zfile/writer.h"

namespace varve::test {

namespace {

using zfile::Algorithm;

std::unique_ptr<zfile::ZFile> packed(const std::vector<std::byte>& content,
                                     const zfile::WriteOptions& options) {
  const MemoryFile source(content);
  auto target = std::make_unique<MemoryFile>();
  zfile::WriteSummary summary;
  EXPECT_EQ(zfile::compress(source, *target, options, summary), 0);
  return std::make_unique<zfile::ZFile>(std::move(target), nullptr);
}

// Reads `count` random ranges, most of them around the borders of blocks.
void expect_random_ranges(const zfile::ZFile& file, const std::vector<std::byte>& content,
                          std::uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> buffer(content.size());
  for (int turn = 0; turn < count; ++turn) {
    std::size_t offset = random() % content.size();
    if (turn % 2 == 0) offset -= offset % file.header().block_size;
    const std::size_t longest = content.size() - offset;
    const std::size_t length =
        std::min<std::size_t>(longest, random() % (turn % 5 == 0 ? 600'000 : 9'000));
    const std::span<std::byte> part = std::span(buffer).first(length);
    ASSERT_EQ(file.read(part, offset), 0) << "seed " << seed << " turn " << turn;
    ASSERT_TRUE(
        std::equal(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(offset)))
        << "seed " << seed << ", turn " << turn << ": " << length << " bytes at " << offset;
  }
}

TEST(ZFileReadTest, EveryRangeOfEveryKindOfFileReadsRight) {
  std::vector<std::byte> content = some_content(1'300'017, 7);
  // Blocks that do not compress, and blocks that do so all the more.
  const std::vector<std::byte> incompressible = noise(300'000, 8);
  std::copy(incompressible.begin(), incompressible.end(), content.begin() + 200'000);
  std::fill_n(content.begin() + 700'000, 300'000, std::byte{0});
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    for (std::uint32_t block_size = 512; block_size <= 65536; block_size *= 2) {
      for (const bool has_sums : {true, false}) {
        SCOPED_TRACE(std::string(name_of(algorithm)) + " " + std::to_string(block_size));
        const auto file = packed(content, {.algorithm = algorithm,
                                           .block_size = block_size,
                                           .has_sums = has_sums,
                                           .is_header_final = has_sums,
                                           .threads = 1});
        ASSERT_EQ(file->size(), content.size());
        EXPECT_EQ(read_all(*file), content);
        expect_random_ranges(*file, content, block_size + (has_sums ? 1 : 0), 120);
      }
    }
  }
}

TEST(ZFileReadTest, RangesThatReachOutAreRefused) {
  const auto file = packed(some_content(10'000, 1), {.threads = 1});
  std::vector<std::byte> buffer(10);
  EXPECT_EQ(file->read(buffer, 9'990), 0);
  EXPECT_EQ(file->read(buffer, 9'991), -EINVAL);
  EXPECT_EQ(file->read(buffer, UINT64_MAX), -EINVAL);
  EXPECT_EQ(file->read({}, 10'000), 0);
  EXPECT_EQ(file->read({}, 10'001), -EINVAL);
  const auto empty = packed({}, {.threads = 1});
  EXPECT_EQ(empty->size(), 0U);
  EXPECT_EQ(empty->read({}, 0), 0);
  EXPECT_EQ(empty->read(buffer, 0), -EINVAL);
}

TEST(ZFileReadTest, SmallReadsOfSeveralFilesInTurnDoNotMixThemUp) {
  const std::vector<std::byte> first_content = some_content(200'000, 1);
  const std::vector<std::byte> second_content = some_content(200'000, 2);
  const auto first = packed(first_content, {.block_size = 65536, .threads = 1});
  auto second = packed(second_content, {.block_size = 65536, .threads = 1});
  std::byte byte = {};
  for (std::size_t offset = 0; offset < 200'000; offset += 501) {
    ASSERT_EQ(first->read({&byte, 1}, offset), 0);
    ASSERT_EQ(byte, first_content[offset]);
    ASSERT_EQ(second->read({&byte, 1}, offset), 0);
    ASSERT_EQ(byte, second_content[offset]);
    ASSERT_EQ(second->read({&byte, 1}, offset + 1), 0);
    ASSERT_EQ(byte, second_content[offset + 1]);
  }
  // Another file, perhaps where the last one was in memory.
  second.reset();
  const auto third = packed(first_content, {.block_size = 65536, .threads = 1});
  ASSERT_EQ(third->read({&byte, 1}, 199'999), 0);
  EXPECT_EQ(byte, first_content[199'999]);
}

TEST(ZFileReadTest, SeveralThreadsReadOneFile) {
  const std::vector<std::byte> content = some_content(900'000, 3);
  const auto file =
      packed(content, {.algorithm = Algorithm::zstd, .block_size = 8192, .threads = 2});
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] { expect_random_ranges(*file, content, seed, 150); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ZFileReadTest, ADictionaryIsSkipped) {
  MemoryFile source(some_content(40'000, 4));
  MemoryFile target;
  zfile::WriteSummary summary;
  ASSERT_EQ(zfile::compress(source, target, {.threads = 1}, summary), 0);
  std::vector<std::byte> bytes = target.content();
  bytes.insert(bytes.begin() + zfile::kHeaderSize, 100, std::byte{0x77});
  zfile::Header header = zfile::parse_header(std::span(bytes).first<zfile::kHeaderSize>());
  header.dictionary_size = 100;
  header.index_offset += 100;
  const zfile::HeaderBytes altered = zfile::format_header(header);
  std::copy(altered.begin(), altered.end(), bytes.begin());
  const zfile::ZFile file(std::make_unique<MemoryFile>(std::move(bytes)), nullptr);
  EXPECT_EQ(read_all(file), source.content());
}

}  // namespace

}  // namespace varve::test
