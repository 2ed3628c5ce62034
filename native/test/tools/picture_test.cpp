// Where data lies, as letters.
#include "tools/picture.h"

#include <gtest/gtest.h>

namespace varve::tools {

using lsmt::Mapping;

using Lines = std::vector<std::string>;

TEST(Picture, ShowsEachStretchByWhatIsInIt) {
  const std::vector<Mapping> mappings = {Mapping::data({0, 4}, 8), Mapping::data({5, 1}, 12),
                                         Mapping::zeros({8, 1}, 0), Mapping::data({9, 1}, 13),
                                         Mapping::zeros({12, 2}, 0)};
  // 16 sectors, two of them a letter.
  EXPECT_EQ(draw(mappings, 8192, {.columns = 4, .rows_max = 2}),
            (Lines{"0 bytes  ##+.", "  4 KiB  +.z."}));
  EXPECT_EQ(legend(8192, {.columns = 4, .rows_max = 2}),
            "each letter 1 KiB: # data, + partly data, z zeros, . not mapped");
}

TEST(Picture, HasAsManyLettersAsItNeeds) {
  const std::vector<Mapping> mappings = {Mapping::data({0, 3}, 8)};
  EXPECT_EQ(draw(mappings, 1536, {}), Lines{"0 bytes  ###"});
  EXPECT_EQ(draw(mappings, 0, {}), Lines{});
  // The last letter stands for less than the others, and is full all the same.
  EXPECT_EQ(draw(mappings, 1536, {.columns = 2, .rows_max = 1}), Lines{"0 bytes  ##"});
}

TEST(Picture, LeavesOutWhatIsBehindTheEnd) {
  const std::vector<Mapping> mappings = {Mapping::data({1, 16000}, 8),
                                         Mapping::data({lsmt::kSectorMax - 1, 9}, 8)};
  EXPECT_EQ(draw(mappings, 1024, {}), Lines{"0 bytes  .#"});
}

TEST(Picture, HoldsTheLargestDevice) {
  const std::uint64_t size = lsmt::kSectorMax * lsmt::kSectorSize;
  const std::vector<Mapping> mappings = {Mapping::data({lsmt::kSectorMax - 9, 9}, 8)};
  const Lines lines = draw(mappings, size, {.columns = 8, .rows_max = 2});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].substr(lines[0].size() - 8), "........");
  EXPECT_EQ(lines[1].substr(lines[1].size() - 8), ".......+");
}

}  // namespace varve::tools
