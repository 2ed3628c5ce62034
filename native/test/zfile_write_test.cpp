#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "zfile/reader.h"
#include "zfile/writer.h"

namespace varve::test {

namespace {

using zfile::Algorithm;
using zfile::WriteOptions;

std::vector<std::byte> packed(const std::vector<std::byte>& content, const WriteOptions& options,
                              zfile::WriteSummary* summary = nullptr) {
  const MemoryFile source(content);
  MemoryFile target;
  zfile::WriteSummary own;
  EXPECT_EQ(zfile::compress(source, target, options, summary != nullptr ? *summary : own), 0);
  return target.content();
}

TEST(ZFileWriteTest, TheNumberOfThreadsDoesNotChangeAByte) {
  std::vector<std::byte> content = some_content(3'000'001, 1);
  const std::vector<std::byte> incompressible = noise(700'000, 2);
  std::copy(incompressible.begin(), incompressible.end(), content.begin() + 900'000);
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    for (const std::uint32_t block_size : {4096U, 65536U}) {
      WriteOptions options = {.algorithm = algorithm, .block_size = block_size, .threads = 1};
      const std::vector<std::byte> expected = packed(content, options);
      for (const unsigned threads : {2U, 3U, 8U, 0U}) {
        options.threads = threads;
        EXPECT_TRUE(packed(content, options) == expected) << threads << " threads";
      }
    }
  }
}

TEST(ZFileWriteTest, HowTheContentArrivesDoesNotChangeAByte) {
  const std::vector<std::byte> content = some_content(700'000, 3);
  const std::vector<std::byte> expected = packed(content, {.threads = 2});
  for (const std::size_t piece : {1'000U, 4'096U, 262'144U, 300'001U}) {
    MemoryFile target;
    zfile::Writer writer(target, {.threads = 2});
    for (std::size_t at = 0; at < content.size(); at += piece) {
      const std::size_t length = std::min(piece, content.size() - at);
      ASSERT_EQ(writer.append(std::span(content).subspan(at, length)), 0);
    }
    zfile::WriteSummary summary;
    ASSERT_EQ(writer.finish(summary), 0);
    EXPECT_TRUE(target.content() == expected) << piece;
  }
}

TEST(ZFileWriteTest, TheSummaryTellsWhatWasWritten) {
  zfile::WriteSummary summary;
  std::vector<std::byte> bytes = packed(some_content(10'000, 1), {.threads = 1}, &summary);
  EXPECT_EQ(summary.content_size, 10'000U);
  EXPECT_EQ(summary.file_size, bytes.size());
  EXPECT_EQ(summary.block_count, 3U);
  EXPECT_LT(summary.longest_stored, 4096U);
  // Which overlaybd cannot read.
  packed(noise(65'536, 1), {.block_size = 65536, .threads = 1}, &summary);
  EXPECT_GT(summary.longest_stored, 65'536U);
  bytes = packed({}, {.threads = 1}, &summary);
  EXPECT_EQ(bytes.size(), 1024U);
  EXPECT_EQ(summary.block_count, 0U);
}

// Recorded files written again. All that the format leaves no freedom in is equal: headers,
// trailers, and sums. Compressed bytes are the library's.
TEST(ZFileWriteTest, RecordedFilesWrittenAgainAreTheSameFiles) {
  const struct {
    const char* name;
    WriteOptions options;
  } cases[] = {
      {"zfile-plain/empty.zfile", {.is_header_final = false, .threads = 1}},
      {"zfile-plain/one.zfile", {.is_header_final = false, .threads = 1}},
      {"zfile-plain/block.zfile", {.is_header_final = false, .threads = 1}},
      {"zfile-plain/odd.zfile", {.is_header_final = false, .threads = 1}},
      {"zfile-plain/odd64.zfile",
       {.algorithm = Algorithm::zstd, .block_size = 65536, .is_header_final = false, .threads = 1}},
      {"zfile-plain/noise.zfile",
       {.algorithm = Algorithm::zstd, .is_header_final = false, .threads = 1}},
      {"zfile/lz4-4k", {.threads = 2}},
      {"zfile/lz4-4k-nosum-trailer", {.has_sums = false, .is_header_final = false, .threads = 1}},
      {"zfile/lz4-8k-sum-trailer", {.block_size = 8192, .is_header_final = false, .threads = 1}},
      {"zfile/lz4-16k", {.block_size = 16384, .threads = 2}},
      {"zfile/lz4-64k", {.block_size = 65536, .threads = 2}},
      {"zfile/lz4-64k-nosum-hdr", {.block_size = 65536, .has_sums = false, .threads = 1}},
      {"zfile/zstd-4k", {.algorithm = Algorithm::zstd, .threads = 2}},
      {"zfile/zstd-16k-nosum-hdr",
       {.algorithm = Algorithm::zstd, .block_size = 16384, .has_sums = false, .threads = 1}},
      {"zfile/zstd-32k", {.algorithm = Algorithm::zstd, .block_size = 32768, .threads = 2}},
      {"zfile/zstd-64k", {.algorithm = Algorithm::zstd, .block_size = 65536, .threads = 2}},
  };
  for (const auto& one : cases) {
    const std::vector<std::byte> recorded = fixture(one.name);
    const std::vector<std::byte> content =
        read_all(zfile::ZFile(io::open_file(fixture_path(one.name)), nullptr));
    EXPECT_TRUE(packed(content, one.options) == recorded) << one.name;
  }
}

// The worked example of the format: what every writer has to make of these bytes.
TEST(ZFileWriteTest, TheWorkedExampleComesOutAsDescribed) {
  std::vector<std::byte> content;
  for (int turn = 0; turn < 16; ++turn) {
    for (int byte = 0; byte < 256; ++byte) content.push_back(static_cast<std::byte>(byte));
  }
  content.insert(content.end(), 4096, std::byte{'A'});
  for (int turn = 0; turn < 10; ++turn) {
    for (const char letter : {'t', 'a', 'i', 'l'})
      content.push_back(static_cast<std::byte>(letter));
  }
  const std::vector<std::byte> bytes = packed(content, {.is_header_final = false, .threads = 1});
  ASSERT_EQ(bytes.size(), 1369U);
  const auto header = zfile::parse_header(std::span(bytes).first<zfile::kHeaderSize>());
  const auto trailer = zfile::parse_header(std::span(bytes).last<zfile::kHeaderSize>());
  EXPECT_EQ(header.digest, 0xc7a212fcU);
  EXPECT_EQ(trailer.digest, 0x53fa17b7U);
  EXPECT_EQ(trailer.index_sum, 0xd7a79ba2U);
  EXPECT_EQ(trailer.index_offset, 845U);
  EXPECT_EQ(trailer.original_size, 8232U);
}

TEST(ZFileWriteTest, OptionsThatMakeNoZFileAreRefused) {
  MemoryFile target;
  for (const std::uint32_t size : {0U, 256U, 5000U, 131072U}) {
    EXPECT_THROW(zfile::Writer(target, {.block_size = size}), io::FormatError) << size;
  }
  MemoryFile full(noise(10, 1));
  EXPECT_THROW(zfile::Writer(full, {}), io::FormatError);
}

TEST(ZFileWriteTest, AFullDiskIsToldAndNothingHangs) {
  const std::vector<std::byte> content = noise(5'000'000, 1);
  for (const unsigned threads : {1U, 4U}) {
    for (const std::uint64_t limit : {100U, 600U, 300'000U, 5'000'000U, 5'019'600U}) {
      MemoryFile target;
      target.limit(limit);
      zfile::WriteSummary summary;
      EXPECT_EQ(zfile::compress(MemoryFile(content), target, {.threads = threads}, summary),
                -ENOSPC)
          << limit;
    }
  }
}

TEST(ZFileWriteTest, AWriterThatIsGivenUpEndsItsThreads) {
  MemoryFile target;
  zfile::Writer writer(target, {.threads = 4});
  EXPECT_EQ(writer.append(some_content(2'000'000, 1)), 0);
}

TEST(ZFileWriteTest, ASourceThatCannotBeReadEndsTheWriting) {
  MemoryFile source(some_content(3'000'000, 1));
  source.make_unreadable({2'000'000, 1});
  MemoryFile target;
  zfile::WriteSummary summary;
  EXPECT_EQ(zfile::compress(source, target, {.threads = 2}, summary), -EIO);
}

}  // namespace

}  // namespace varve::test
