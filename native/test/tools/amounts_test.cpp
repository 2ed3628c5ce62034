// Sizes and ranges as people write and read them.
#include "tools/amounts.h"

#include <gtest/gtest.h>

#include "tools/failure.h"

namespace varve::tools {

TEST(Size, CountsTheUnitThatAPlainNumberHas) {
  EXPECT_EQ(parse_size("0", 1), 0U);
  EXPECT_EQ(parse_size("64", 1), 64U);
  EXPECT_EQ(parse_size("64", kGib), 64 * kGib);
}

TEST(Size, TakesSuffixesInStepsOf1024) {
  EXPECT_EQ(parse_size("512B", kGib), 512U);
  EXPECT_EQ(parse_size("4K", 1), 4096U);
  EXPECT_EQ(parse_size("4k", 1), 4096U);
  EXPECT_EQ(parse_size("4KiB", 1), 4096U);
  EXPECT_EQ(parse_size("3M", 1), 3 * kMib);
  EXPECT_EQ(parse_size("2G", 1), 2 * kGib);
  EXPECT_EQ(parse_size("2TiB", kGib), 2048 * kGib);
  EXPECT_EQ(parse_size("1P", 1), 1024 * 1024 * kGib);
}

TEST(Size, IsRefusedWhereItIsNone) {
  for (const char* text : {"", "K", "-1", "+1", " 1", "1 ", "1.5G", "4KB", "4Ki", "4KiBs", "1x",
                           "18446744073709551616", "0x10"}) {
    EXPECT_EQ(parse_size(text, 1), std::nullopt) << text;
  }
}

TEST(Size, IsRefusedWhere64BitsDoNotHoldIt) {
  EXPECT_EQ(parse_size("18446744073709551615", 1), 18446744073709551615U);
  EXPECT_EQ(parse_size("16383P", 1), std::uint64_t{16383} << 50);
  EXPECT_EQ(parse_size("16384P", 1), std::nullopt);
  EXPECT_EQ(parse_size("17179869184", kGib), std::nullopt);
}

TEST(Range, IsAnOffsetAndALength) {
  const auto range = parse_range("1G:64K");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->offset, kGib);
  EXPECT_EQ(range->length, 65536U);
  for (const char* text : {"", "1", ":", "1:", ":1", "1:2:3", "1-2", "18446744073709551615:1"}) {
    EXPECT_FALSE(parse_range(text)) << text;
  }
  EXPECT_TRUE(parse_range("18446744073709551614:1"));
}

TEST(RangeList, IsReadLineByLine) {
  const auto ranges = parse_range_list("0 4096\n\n  512\t1024 \r\n8192 1");
  ASSERT_EQ(ranges.size(), 3U);
  EXPECT_EQ(ranges[1].offset, 512U);
  EXPECT_EQ(ranges[1].length, 1024U);
  EXPECT_EQ(ranges[2].offset, 8192U);
  EXPECT_TRUE(parse_range_list("").empty());
}

TEST(RangeList, NamesTheLineThatIsNone) {
  for (const char* text : {"0 1\n\n5", "0 1\n\nfive 6", "0 1\n\n1 2 3"}) {
    try {
      static_cast<void>(parse_range_list(text));
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, 16), "line 3 is no ran") << text;
    }
  }
}

TEST(Amount, IsWrittenInTheLargestUnitThatFits) {
  EXPECT_EQ(size_text(0), "0 bytes");
  EXPECT_EQ(size_text(1), "1 byte");
  EXPECT_EQ(size_text(1023), "1023 bytes");
  EXPECT_EQ(size_text(1024), "1 KiB");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(64 * kGib), "64 GiB");
  EXPECT_EQ(size_text(18446744073709551615U), "16384.0 PiB");
  EXPECT_EQ(exact_size_text(100), "100 bytes");
  EXPECT_EQ(exact_size_text(1421634174976), "1.3 TiB (1421634174976 bytes)");
  EXPECT_EQ(share_text(1, 3), "33.3 %");
  EXPECT_EQ(share_text(0, 0), "0.0 %");
}

TEST(Text, OfUnknownOriginCannotSteerATerminal) {
  EXPECT_EQ(printable("a b~"), "a b~");
  EXPECT_EQ(printable("\x1b[2J\n\xff"), "\\x1b[2J\\x0a\\xff");
  EXPECT_EQ(without_controls("\x1b[2J\n\x7f"), "\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(without_controls("\xc3\xa4 \xc2\xa0"), "\xc3\xa4 \xc2\xa0");
  EXPECT_EQ(without_controls("\xc2\x9b"), "\\xc2\x9b");
}

}  // namespace varve::tools
