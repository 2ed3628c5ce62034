// Damage is -EIO for the blocks that it hit and nothing else, and the listener hears of it.
#include <gtest/gtest.h>

#include <cerrno>

#include "io/bytes.h"
#include "io/mapped_file.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "test/temporary_directory.h"
#include "zfile/reader.h"
#include "zfile/writer.h"

namespace varve::test {

namespace {

using zfile::Algorithm;

constexpr std::uint32_t kBlock = 4096;

using MappedDamageTest = TemporaryDirectory;

std::vector<std::byte> packed(const std::vector<std::byte>& content, Algorithm algorithm,
                              bool has_sums = true) {
  const MemoryFile source(content);
  MemoryFile target;
  zfile::WriteSummary summary;
  EXPECT_EQ(zfile::compress(source, target,
                            {.algorithm = algorithm, .has_sums = has_sums, .threads = 1}, summary),
            0);
  return target.content();
}

TEST(ZFileDamageTest, AFlippedBitIsAnErrorForItsBlockAlone) {
  const std::vector<std::byte> content = some_content(10 * kBlock, 1);
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    const std::vector<std::byte> sound = packed(content, algorithm);
    const zfile::ZFile whole(std::make_unique<MemoryFile>(sound), nullptr);
    std::vector<std::byte> bytes = sound;
    const std::uint64_t begin = whole.index().offset_of(4);
    const std::uint64_t end = whole.index().offset_of(5);
    bytes[begin + 17] ^= std::byte{4};
    Listener listener;
    const zfile::ZFile file(std::make_unique<MemoryFile>(bytes), &listener);
    std::vector<std::byte> block(kBlock);
    for (std::uint64_t number = 0; number < 10; ++number) {
      EXPECT_EQ(file.read(block, number * kBlock), number == 4 ? -EIO : 0) << number;
    }
    ASSERT_EQ(listener.damages.size(), 1U);
    const io::Damage& damage = listener.damages[0];
    EXPECT_EQ(damage.file, "memory");
    EXPECT_EQ(damage.offset, begin);
    EXPECT_NE(damage.text.find("block 4"), std::string::npos) << damage.text;
    EXPECT_NE(damage.text.find("content from 16384"), std::string::npos) << damage.text;
    const std::string expected =
        io::hexadecimal(io::load<std::uint32_t>(sound.data() + end - zfile::kSumSize));
    EXPECT_NE(damage.text.find("expected " + expected), std::string::npos) << damage.text;
    EXPECT_NE(damage.text.find("has the checksum 0x"), std::string::npos) << damage.text;
  }
}

// What is read of an altered file is right or refused, whatever bit it was.
TEST(ZFileDamageTest, NoFlippedBitAnywhereGivesAWrongByte) {
  const std::vector<std::byte> content = some_content(2 * kBlock + 100, 2);
  std::uint64_t refused = 0;
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    const std::vector<std::byte> sound = packed(content, algorithm);
    const std::uint64_t end = sound.size() - zfile::kHeaderSize;
    for (std::uint64_t bit = 0; bit < sound.size() * 8; ++bit) {
      std::vector<std::byte> bytes = sound;
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      bool is_refused = true;
      try {
        const zfile::ZFile file(std::make_unique<MemoryFile>(std::move(bytes)), nullptr);
        std::vector<std::byte> read(file.size());
        is_refused = file.read(read, 0) != 0;
        ASSERT_TRUE(is_refused || read == content) << "bit " << bit;
      } catch (const io::FormatError&) {
        is_refused = true;
      }
      // All but the flag that says that there is a digest, and the trailer, which does not count.
      constexpr std::uint64_t kDigestFlag = 32 * 8 + 4;
      const bool is_harmless = bit == kDigestFlag || bit / 8 >= end;
      ASSERT_EQ(is_refused, !is_harmless) << "bit " << bit;
      refused += is_refused ? 1 : 0;
    }
  }
  EXPECT_GT(refused, 20'000U);
}

TEST(ZFileDamageTest, WithoutSumsDamageIsNoticedOrHarmlessButNeverMore) {
  const std::vector<std::byte> content = some_content(2 * kBlock, 3);
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    const std::vector<std::byte> sound = packed(content, algorithm, false);
    for (std::uint64_t bit = 512 * 8; bit < sound.size() * 8 - 512 * 8; ++bit) {
      auto file = std::make_unique<MemoryFile>(sound);
      file->content()[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      try {
        const zfile::ZFile damaged(std::move(file), nullptr);
        std::vector<std::byte> read(damaged.size());
        const int error = damaged.read(read, 0);
        EXPECT_TRUE(error == 0 || error == -EIO);
      } catch (const io::FormatError&) {
        continue;
      }
    }
  }
}

TEST(ZFileDamageTest, ABlockThatGivesAnotherLengthIsDamaged) {
  // A sound block of 100 bytes stands where one of 4096 has to be, its sum right.
  const std::vector<std::byte> content = some_content(kBlock, 4);
  for (const Algorithm algorithm : {Algorithm::lz4, Algorithm::zstd}) {
    for (const std::size_t length : {std::size_t{100}, std::size_t{kBlock}}) {
      std::vector<std::byte> bytes = packed(
          {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(length)}, algorithm);
      zfile::Header header = zfile::parse_header(std::span(bytes).first<zfile::kHeaderSize>());
      header.original_size = length == 100 ? kBlock : 100;
      const zfile::HeaderBytes altered = zfile::format_header(header);
      std::copy(altered.begin(), altered.end(), bytes.begin());
      Listener listener;
      const zfile::ZFile file(std::make_unique<MemoryFile>(std::move(bytes)), &listener);
      std::vector<std::byte> read(file.size());
      EXPECT_EQ(file.read(read, 0), -EIO);
      ASSERT_EQ(listener.damages.size(), 1U);
      EXPECT_NE(listener.damages[0].text.find("does not decompress"), std::string::npos);
    }
  }
}

TEST(ZFileDamageTest, WhatTheDiskDoesNotGiveBackIsAnErrorForItsBlocks) {
  const std::vector<std::byte> content = some_content(10 * kBlock, 5);
  auto source = std::make_unique<MemoryFile>(packed(content, Algorithm::lz4));
  MemoryFile& disk = *source;
  Listener listener;
  const zfile::ZFile file(std::move(source), &listener);
  disk.make_unreadable({file.index().offset_of(7), 1});
  std::vector<std::byte> block(kBlock);
  EXPECT_EQ(file.read(block, 6 * kBlock), 0);
  EXPECT_EQ(file.read(block, 7 * kBlock), -EIO);
  EXPECT_EQ(file.read(block, 8 * kBlock), 0);
  ASSERT_EQ(listener.damages.size(), 1U);
  EXPECT_EQ(listener.damages[0].offset, file.index().offset_of(7));
}

// A mapped file that loses its end: touching it would kill the process.
TEST_F(MappedDamageTest, BytesThatAreNoLongerThereAreAnErrorForTheirBlocks) {
#ifdef __SANITIZE_THREAD__
  // Its own handler blocks every signal, also after the jump out of ours.
  GTEST_SKIP() << "ThreadSanitizer survives one SIGBUS only";
#endif
  const std::vector<std::byte> content = noise(20 * kBlock, 5);
  const auto target = io::open_writable_file(at("layer"), true);
  zfile::WriteSummary summary;
  ASSERT_EQ(zfile::compress(MemoryFile(content), *target, {.threads = 1}, summary), 0);
  Listener listener;
  auto source = io::open_mapped_file(at("layer"));
  EXPECT_NE(source->view({0, 512}), nullptr);
  EXPECT_EQ(source->view({0, source->size() + 1}), nullptr);
  const zfile::ZFile file(std::move(source), &listener);
  EXPECT_EQ(read_all(file), content);
  const std::uint64_t end = file.index().offset_of(10);
  ASSERT_EQ(target->resize(end), 0);
  std::vector<std::byte> block(kBlock);
  EXPECT_EQ(file.read(block, 8 * kBlock), 0);
  EXPECT_TRUE(std::equal(block.begin(), block.end(), content.begin() + 8 * kBlock));
  for (int turn = 0; turn < 3; ++turn) EXPECT_EQ(file.read(block, 15 * kBlock), -EIO);
  EXPECT_EQ(file.read(block, 8 * kBlock), 0);
  ASSERT_EQ(listener.damages.size(), 3U);
  EXPECT_NE(listener.damages[0].text.find("block 15"), std::string::npos);
  EXPECT_NE(listener.damages[0].text.find("cannot be read"), std::string::npos);
}

TEST(ZFileDamageTest, AReadAfterAFailedOneOfTheSameBlockFailsAgain) {
  const std::vector<std::byte> content = some_content(3 * kBlock, 6);
  std::vector<std::byte> bytes = packed(content, Algorithm::lz4);
  bytes[600] ^= std::byte{1};
  const zfile::ZFile file(std::make_unique<MemoryFile>(bytes), nullptr);
  std::byte byte = {};
  EXPECT_EQ(file.read({&byte, 1}, 5), -EIO);
  EXPECT_EQ(file.read({&byte, 1}, 5), -EIO);
  EXPECT_EQ(file.read({&byte, 1}, kBlock + 5), 0);
  EXPECT_EQ(byte, content[kBlock + 5]);
  EXPECT_EQ(file.read({&byte, 1}, 5), -EIO);
}

}  // namespace

}  // namespace varve::test
