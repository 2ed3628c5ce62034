// Lookup, overlay and the writable index, each against a disk that is a plain array of sectors.
#include "lsmt/index.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "io/file.h"
#include "lsmt/overlay.h"
#include "lsmt/writable_index.h"
#include "test/lsmt/random.h"

namespace varve::test {

using namespace lsmt;

// What a sector reads: -1 not mapped, else layer, zeros, and the sector of the file.
struct Sector {
  bool is_mapped = false;
  bool is_zeroed = false;
  unsigned layer = 0;
  std::uint64_t data = 0;

  friend bool operator==(const Sector&, const Sector&) = default;
};

using Disk = std::vector<Sector>;

void paint(Disk& disk, const Mapping& mapping) {
  for (std::uint64_t at = 0; at < mapping.count(); ++at) {
    const std::uint64_t data = mapping.is_zeroed() ? 0 : mapping.data_first() + at;
    disk[mapping.first() + at] = {true, mapping.is_zeroed(), mapping.layer(), data};
  }
}

// Checks that what was found covers a range of the disk exactly.
void expect_range(const Disk& disk, std::uint64_t offset, SectorRange range, const Found& found) {
  std::uint64_t sector = range.first;
  for (std::size_t at = 0; at < found.count; ++at) {
    const Mapping& mapping = found.mappings[at];
    ASSERT_GE(mapping.first(), sector);
    ASSERT_GT(mapping.count(), 0U);
    ASSERT_LE(mapping.end(), range.end());
    for (; sector < mapping.first(); ++sector) ASSERT_FALSE(disk[sector - offset].is_mapped);
    for (; sector < mapping.end(); ++sector) {
      const Sector& expected = disk[sector - offset];
      ASSERT_TRUE(expected.is_mapped) << "sector " << sector;
      ASSERT_EQ(mapping.is_zeroed(), expected.is_zeroed) << "sector " << sector;
      ASSERT_EQ(mapping.layer(), expected.layer) << "sector " << sector;
      if (!expected.is_zeroed) {
        ASSERT_EQ(mapping.data_first() + (sector - mapping.first()), expected.data);
      }
    }
  }
  if (found.count == kFoundMax) return;
  for (; sector < range.end(); ++sector) {
    ASSERT_FALSE(disk[sector - offset].is_mapped) << "sector " << sector;
  }
}

// Random mappings that end within `sectors`, from `offset` on.
MappingArray random_mappings(Random& random, std::uint64_t offset, std::uint64_t sectors,
                             std::uint64_t longest, std::uint64_t gap) {
  std::vector<Mapping> mappings;
  std::uint64_t sector = random.below(gap + 1);
  while (true) {
    const std::uint64_t count = random.between(1, longest);
    if (sector + count > sectors) break;
    const SectorRange range{offset + sector, count};
    const std::uint64_t data = random.between(8, 1U << 20);
    mappings.push_back(random.one_in(4) ? Mapping::zeros(range, data) : Mapping::data(range, data));
    sector += count + (random.one_in(2) ? random.below(gap + 1) : 0);
  }
  MappingArray array(mappings.size());
  for (const Mapping& mapping : mappings) array.push_back(mapping);
  return array;
}

MappingArray copy_of(const MappingArray& array) {
  MappingArray copy(array.size());
  for (const Mapping& mapping : array) copy.push_back(mapping);
  return copy;
}

TEST(Mapping, IsWrittenAsTheFormatSays) {
  const auto words = [](const Mapping& mapping) {
    return std::bit_cast<std::array<std::uint64_t, 2>>(mapping);
  };
  EXPECT_EQ(words(Mapping::data({0, 8}, 8)), (std::array<std::uint64_t, 2>{0x20000000000000, 8}));
  EXPECT_EQ(words(Mapping::zeros({16, 2}, 25)),
            (std::array<std::uint64_t, 2>{0x08000000000010, 0x80000000000019}));
  EXPECT_EQ(words(Mapping::data({2048, 2048}, 25)),
            (std::array<std::uint64_t, 2>{0x2000000000000800, 25}));
  EXPECT_EQ(words(Mapping()), (std::array<std::uint64_t, 2>{0x3ffffffffffff, 0}));
}

TEST(Mapping, TrimmingMovesTheDataButNotWhereZerosWouldLie) {
  EXPECT_EQ(Mapping::data({10, 10}, 100).trimmed({12, 3}), Mapping::data({12, 3}, 102));
  EXPECT_EQ(Mapping::zeros({10, 10}, 100).trimmed({12, 3}), Mapping::zeros({12, 3}, 100));
  EXPECT_EQ(Mapping::data({10, 10}, 100).trimmed({0, 12}), Mapping::data({10, 2}, 100));
}

class IndexTest : public testing::TestWithParam<const LookupSet*> {};

// Every set of instructions, both widths of keys, all depths up to four levels.
TEST_P(IndexTest, FindsWhatAPlainDiskHolds) {
  Random random(choose_seed());
  const std::uint64_t rounds = is_long_form() ? 3000 : 300;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::uint64_t sectors = std::uint64_t{1} << random.between(0, 16);
    // Around what keys of 32 bits can hold, at the start, and at the end of what can be mapped.
    const std::uint64_t offsets[] = {0, (std::uint64_t{1} << 32) - sectors / 2 - 1,
                                     std::uint64_t{1} << 40, kSectorMax - sectors};
    const std::uint64_t offset = offsets[random.below(4)];
    MappingArray mappings =
        random_mappings(random, offset, sectors, random.between(1, 40), random.below(20));
    Disk disk(sectors);
    for (const Mapping& mapping : mappings) {
      for (std::uint64_t at = 0; at < mapping.count(); ++at) {
        disk[mapping.first() - offset + at] = {true, mapping.is_zeroed(), 0,
                                               mapping.is_zeroed() ? 0 : mapping.data_first() + at};
      }
    }
    const Index index(std::move(mappings), *GetParam());
    std::vector<SectorRange> ranges;
    for (unsigned lookup = 0; lookup < 200; ++lookup) {
      const std::uint64_t first = random.below(sectors);
      const std::uint64_t longest = std::min(sectors - first, std::uint64_t{1} << random.below(9));
      ranges.push_back({offset + first, random.between(1, longest)});
    }
    std::vector<Found> together(ranges.size());
    index.find_all(ranges, together);
    for (std::size_t at = 0; at < ranges.size(); ++at) {
      Found found;
      index.find(ranges[at], found);
      ASSERT_NO_FATAL_FAILURE(expect_range(disk, offset, ranges[at], found)) << "round " << round;
      ASSERT_EQ(found.count, together[at].count);
      for (std::size_t one = 0; one < found.count; ++one) {
        ASSERT_EQ(found.mappings[one], together[at].mappings[one]);
      }
    }
  }
}

TEST_P(IndexTest, FindsEachOfAMillionMappings) {
  constexpr std::uint64_t kCount = 1'000'003;
  for (const std::uint64_t stride : {std::uint64_t{3}, std::uint64_t{1} << 29}) {
    MappingArray mappings(kCount);
    for (std::uint64_t at = 0; at < kCount; ++at) {
      mappings.push_back(Mapping::data({at * stride + 1, 2}, 8 + at));
    }
    const Index index(std::move(mappings), *GetParam());
    Found found;
    for (std::uint64_t at = 0; at < kCount; ++at) {
      index.find({at * stride + 2, 1}, found);
      ASSERT_EQ(found.count, 1U);
      ASSERT_EQ(found.mappings[0], Mapping::data({at * stride + 2, 1}, 9 + at));
      index.find({at * stride, 1}, found);
      ASSERT_EQ(found.count, 0U) << at;
    }
  }
}

TEST_P(IndexTest, FindsNothingInAnEmptyIndexAndBehindTheLastMapping) {
  Found found;
  const Index empty(MappingArray(), *GetParam());
  empty.find({0, 1000}, found);
  EXPECT_EQ(found.count, 0U);
  // Around what a tree of one to four levels holds, with keys of 32 bits and with those of 64.
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1} << 40}) {
    for (const std::uint64_t count : {1U, 7U, 8U, 9U, 15U, 16U, 17U, 80U, 81U, 288U, 289U, 728U, 729U,
                                      4912U, 4913U}) {
      MappingArray mappings(count);
      for (std::uint64_t at = 0; at < count; ++at) {
        mappings.push_back(Mapping::data({offset + at, 1}, 8));
      }
      const Index index(std::move(mappings), *GetParam());
      index.find({offset + count - 1, 2}, found);
      EXPECT_EQ(found.count, 1U) << count << " mappings";
      for (const std::uint64_t first :
           {offset + count, offset + 0xfffffffe, offset + 0xffffffff,
            offset + (std::uint64_t{1} << 32), kSectorMax - 1, kSectorMax, kSectorMax + 5}) {
        index.find({first, 1}, found);
        EXPECT_EQ(found.count, 0U) << count << " mappings, sector " << first;
      }
      const std::vector<SectorRange> behind(kBatchSize, {offset + count, 8});
      std::vector<Found> together(kBatchSize);
      index.find_all(behind, together);
      for (const Found& one : together) EXPECT_EQ(one.count, 0U) << count << " mappings";
      index.find({0, ~std::uint64_t{0}}, found);
      EXPECT_EQ(found.count, std::min<std::size_t>(count, kFoundMax));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, IndexTest, testing::ValuesIn(lookup_sets().begin(), lookup_sets().end()),
                         [](const auto& set) { return std::string(set.param->name); });

TEST(Overlay, ShowsTheHighestLayerOfEachSector) {
  Random random(choose_seed());
  const std::uint64_t rounds = is_long_form() ? 2000 : 200;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::uint64_t sectors = std::uint64_t{1} << random.between(4, 12);
    const std::size_t count = random.one_in(20) ? kStackLayersMax : random.between(1, 12);
    Disk disk(sectors);
    std::vector<MappingArray> layers;
    for (unsigned layer = 0; layer < count; ++layer) {
      layers.push_back(
          random_mappings(random, 0, sectors, random.between(1, 40), random.between(1, 200)));
      for (const Mapping& mapping : layers.back()) paint(disk, mapping.with_layer(layer));
    }
    const Index index(overlay(std::move(layers)));
    for (std::uint64_t first = 0; first < sectors; first += 16) {
      const SectorRange range{first, std::min<std::uint64_t>(16, sectors - first)};
      Found found;
      index.find(range, found);
      ASSERT_NO_FATAL_FAILURE(expect_range(disk, 0, range, found)) << "round " << round;
    }
  }
}

TEST(Overlay, KeepsOneLayerAsItIsAndCutsNoMoreThanItMust) {
  Random random(1);
  MappingArray lower = random_mappings(random, 0, 1000, 30, 10);
  std::vector<MappingArray> one;
  one.push_back(copy_of(lower));
  const MappingArray same = overlay(std::move(one));
  ASSERT_EQ(same.size(), lower.size());
  for (std::size_t at = 0; at < same.size(); ++at) EXPECT_EQ(same[at], lower[at]);

  MappingArray below(1);
  below.push_back(Mapping::data({0, 100}, 8));
  MappingArray above(2);
  above.push_back(Mapping::zeros({10, 10}, 8));
  above.push_back(Mapping::data({20, 5}, 8));
  std::vector<MappingArray> two;
  two.push_back(std::move(below));
  two.push_back(std::move(above));
  const MappingArray merged = overlay(std::move(two));
  const std::vector<Mapping> expected = {
      Mapping::data({0, 10}, 8), Mapping::zeros({10, 10}, 8).with_layer(1),
      Mapping::data({20, 5}, 8).with_layer(1), Mapping::data({25, 75}, 33)};
  EXPECT_EQ(std::vector<Mapping>(merged.begin(), merged.end()), expected);
}

TEST(Overlay, RefusesMoreLayersThanATagCanName) {
  std::vector<MappingArray> layers(kStackLayersMax + 1);
  EXPECT_THROW(overlay(std::move(layers)), io::FormatError);
}

TEST(WritableIndex, HoldsWhatWasPutInLast) {
  Random random(choose_seed());
  const std::uint64_t operations = is_long_form() ? 2'000'000 : 200'000;
  constexpr std::uint64_t kSectors = 8192;
  Disk disk(kSectors);
  WritableIndex index;
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    // Mostly short, so that the index has many runs; now and then nearly everything.
    const std::uint64_t longest = random.one_in(500) ? kSectors : random.one_in(10) ? 300 : 5;
    const std::uint64_t first = random.below(kSectors);
    const SectorRange range{first, random.between(1, std::min(longest, kSectors - first))};
    const std::uint64_t kind = random.below(8);
    if (kind == 0) {
      index.erase(range);
      std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(first), range.count, Sector{});
    } else {
      const Mapping mapping = kind == 1 ? Mapping::zeros(range, 8) : Mapping::data(range, operation);
      index.put(mapping);
      paint(disk, mapping);
    }
    const std::uint64_t asked = random.below(kSectors);
    const SectorRange question{asked, random.between(1, std::min<std::uint64_t>(40, kSectors - asked))};
    Found found;
    index.find(question, found);
    ASSERT_NO_FATAL_FAILURE(expect_range(disk, 0, question, found)) << "operation " << operation;
    bool is_all_data = true;
    for (std::uint64_t at = asked; at < question.end(); ++at) {
      is_all_data = is_all_data && disk[at].is_mapped && !disk[at].is_zeroed;
    }
    ASSERT_EQ(index.is_all_data(question), is_all_data) << "operation " << operation;
    if (operation % 10'000 == 0) {
      const MappingArray all = index.to_array();
      ASSERT_EQ(all.size(), index.size());
      for (std::size_t at = 1; at < all.size(); ++at) {
        ASSERT_LE(all[at - 1].end(), all[at].first());
      }
    }
  }
}

}  // namespace varve::test
