// Tables, lists of fields, and the line that shows progress.
#include "tools/table.h"

#include <gtest/gtest.h>

#include "tools/amounts.h"
#include "tools/progress.h"

namespace varve::tools {

TEST(Table, AlignsNumbersToTheRightAndTextToTheLeft) {
  Table table({"offset", "kind", "at"});
  table.add({"0", "data", "4096"});
  table.add({"10485760", "zeros", "-"});
  EXPECT_EQ(table.text(),
            "  offset  kind   at\n"
            "       0  data   4096\n"
            "10485760  zeros  -\n");
}

TEST(Fields, HaveTheirValuesBelowEachOther) {
  Fields fields;
  fields.add("uuid", "none");
  fields.add("virtual size", "1 GiB");
  EXPECT_EQ(fields.text(2),
            "  uuid          none\n"
            "  virtual size  1 GiB\n");
}

TEST(ProgressLine, FillsItsWidthAndNoMore) {
  EXPECT_EQ(progress_line("merge", 512 * kMib, kGib, 2.0, 78),
            "merge [=================                 ] 50.0 %, 512 MiB of 1 GiB, 256 MiB/s");
  for (std::size_t width = 0; width < 120; ++width) {
    EXPECT_LE(progress_line("merge", 3, 4, 1.0, width).size(), width);
  }
}

TEST(ProgressLine, NeverShowsMoreThanAll) {
  EXPECT_EQ(progress_line("x", 9, 4, 0, 41), "x [=========] 100.0 %, 4 bytes of 4 bytes");
  EXPECT_EQ(progress_line("x", 9, 4, 0, 30), "x 100.0 %, 4 bytes of 4 bytes");
}

TEST(ProgressLine, HasNoBarWhereNobodyKnowsHowMuchThereIs) {
  EXPECT_EQ(progress_line("apply", 512 * kMib, 0, 2.0, 78), "apply 512 MiB, 256 MiB/s");
}

}  // namespace varve::tools
