// Runs of data and of zeros, against what each sector of a device is.
#include "tools/content_runs.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "test/temporary_directory.h"

namespace varve::test {

using lsmt::Mapping;
using tools::Content;
using tools::next_run;

constexpr std::uint64_t kSectors = 400;

// The same kind for each sector as the index has it; nothing where it maps nothing.
using Kinds = std::vector<std::optional<bool>>;

lsmt::Index random_index(std::mt19937_64& random, Kinds& kinds) {
  std::vector<Mapping> mappings;
  for (std::uint64_t sector = random() % 5; sector < kSectors;) {
    const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 12, kSectors - sector);
    const bool is_zeros = random() % 3 == 0;
    mappings.push_back(is_zeros ? Mapping::zeros({sector, count}, 8)
                                : Mapping::data({sector, count}, 8));
    for (std::uint64_t at = 0; at < count; ++at) kinds[sector + at] = is_zeros;
    sector += count + random() % 4 * (random() % 2);
  }
  lsmt::MappingArray array(mappings.size());
  for (const Mapping& mapping : mappings) array.push_back(mapping);
  return lsmt::Index(std::move(array));
}

using ContentRuns = TemporaryDirectory;

TEST_F(ContentRuns, SayOfEverySectorWhetherItIsZeros) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 50; ++round) {
    Kinds lower_kinds(kSectors);
    const lsmt::Index lower = random_index(random, lower_kinds);
    const std::string name = std::to_string(round);
    const auto upper = lsmt::WritableLayer::create(io::open_writable_file(at("data" + name), true),
                                                   io::open_writable_file(at("index" + name), true),
                                                   {.virtual_size = kSectors * 512});
    Kinds upper_kinds(kSectors);
    for (unsigned write = 0; write < 20; ++write) {
      const std::uint64_t first = random() % kSectors;
      const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 9, kSectors - first);
      const bool is_zeros = random() % 2 == 0;
      const std::vector<std::byte> bytes(count * 512, std::byte{1});
      ASSERT_EQ(
          is_zeros ? upper->discard({first * 512, count * 512}) : upper->write(bytes, first * 512),
          0);
      for (std::uint64_t sector = first; sector < first + count; ++sector) {
        upper_kinds[sector] = is_zeros;
      }
    }
    const bool has_lower = round % 5 != 0;
    const bool has_upper = round % 3 != 0;
    const Content content{nullptr, has_lower ? &lower : nullptr, has_upper ? upper.get() : nullptr};
    // Not on the edge of a sector either.
    const std::uint64_t end = kSectors * 512 - random() % 512;
    for (std::uint64_t offset = random() % 700; offset < end;) {
      const tools::Run run = next_run(content, offset, end);
      ASSERT_GT(run.length, 0U);
      ASSERT_LE(run.length, end - offset);
      for (std::uint64_t byte = offset; byte < offset + run.length; byte += 256) {
        const std::uint64_t sector = byte / 512;
        bool is_zeros = true;
        if (has_lower && lower_kinds[sector]) is_zeros = *lower_kinds[sector];
        if (has_upper && upper_kinds[sector]) is_zeros = *upper_kinds[sector];
        ASSERT_EQ(run.is_zeros, is_zeros) << "sector " << sector;
      }
      offset += run.length;
    }
  }
}

TEST(Runs, OfNothingAreAsLongAsTheDevice) {
  const lsmt::Index empty;
  const std::uint64_t end = std::uint64_t{1} << 58;
  const tools::Run run = next_run({nullptr, &empty, nullptr}, 0, end);
  EXPECT_EQ(run.length, end);
  EXPECT_TRUE(run.is_zeros);
}

TEST(Pieces, AreRunsOfZerosOrDataWithFewZerosInIt) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::uint64_t sectors_end = std::uint64_t{64} << 11;  // 64 MiB
  std::vector<Mapping> mappings;
  for (std::uint64_t sector = 0; sector < sectors_end;) {
    const std::uint64_t count =
        std::min(sectors_end - sector, 1 + random() % (random() % 8 == 0 ? 16000 : 100));
    mappings.push_back(Mapping::data({sector, count}, 8));
    sector += count + random() % (random() % 4 == 0 ? 400 : 100);
  }
  lsmt::MappingArray array(mappings.size());
  for (const Mapping& mapping : mappings) array.push_back(mapping);
  const lsmt::Index index(std::move(array));
  const Content content{nullptr, &index, nullptr};
  const std::uint64_t end = sectors_end * 512;
  unsigned with_zeros = 0;
  for (std::uint64_t offset = 0; offset < end;) {
    const tools::Run piece = tools::next_piece(content, offset, end);
    const tools::Run first = next_run(content, offset, end);
    ASSERT_EQ(piece.is_zeros, first.is_zeros);
    if (piece.is_zeros) {
      ASSERT_EQ(piece.length, first.length);
    } else {
      ASSERT_LE(piece.length, 4U << 20);
      ASSERT_LE(piece.length, end - offset);
      std::uint64_t at = offset;
      while (at < offset + piece.length) {
        const tools::Run run = next_run(content, at, end);
        if (run.is_zeros) {
          ++with_zeros;
          ASSERT_LT(run.length, 64U << 10);
        }
        at += run.length;
      }
      // It ends where more zeros begin, or where it is long enough.
      if (piece.length < 4U << 20 && at < end) {
        ASSERT_GE(next_run(content, at, end).length, 64U << 10);
      }
    }
    offset += piece.length;
  }
  EXPECT_GT(with_zeros, 0U);
}

}  // namespace varve::test
