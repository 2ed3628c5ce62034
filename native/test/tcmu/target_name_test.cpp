// What the kernel calls a device, read.
#include "tcmu/target_name.h"

#include <gtest/gtest.h>

namespace varve::test {

using tcmu::parse_target_name;

TEST(TargetNameTest, NamesTheImage) {
  const auto parsed =
      parse_target_name("tcm-user/999999999/dev_42/overlaybd//a/b c/config.v1.json");
  ASSERT_TRUE(parsed && parsed->name);
  EXPECT_EQ(parsed->name->adapter, "user_999999999");
  EXPECT_EQ(parsed->name->device, "dev_42");
  EXPECT_EQ(parsed->name->directory(), "user_999999999/dev_42");
  EXPECT_EQ(parsed->name->config_path, "/a/b c/config.v1.json");
  EXPECT_EQ(parsed->name->snapshot_id, "");
}

TEST(TargetNameTest, MayNameASnapshotAsWell) {
  const auto parsed = parse_target_name("tcm-user/1/d/overlaybd//a;b;c");
  ASSERT_TRUE(parsed && parsed->name);
  EXPECT_EQ(parsed->name->config_path, "/a");
  EXPECT_EQ(parsed->name->snapshot_id, "b;c");
}

TEST(TargetNameTest, WhatIsSomebodyElsesIsNotOurs) {
  for (const char* text :
       {"", "tcm-user", "tcm-user/1/d", "tcm-user/1/d/overlaybd", "uio_pci/1/d/overlaybd//a",
        "tcm-user/1/d/rbd//a", "tcm-user/1/d/overlay//a", "tcm-user/1/d///a",
        "tcm-user/1/d/overlaybd2//a"}) {
    EXPECT_FALSE(parse_target_name(text)) << text;
  }
}

TEST(TargetNameTest, SaysWhatIsWrong) {
  for (const std::string& text :
       {std::string("tcm-user/1/d/overlaybd/"), std::string("tcm-user/1/d/overlaybd/relative"),
        std::string("tcm-user/1/d/overlaybd/;/a"), std::string("tcm-user/x/d/overlaybd//a"),
        std::string("tcm-user//d/overlaybd//a"), std::string("tcm-user/12345678901/d/overlaybd//a"),
        std::string("tcm-user/1//overlaybd//a"), std::string("tcm-user/1/../overlaybd//a"),
        "tcm-user/1/" + std::string(300, 'x') + "/overlaybd//a",
        "tcm-user/1/d/overlaybd//" + std::string(5000, 'x'),
        std::string("tcm-user/1/d/overlaybd//a\0b", 27)}) {
    const auto parsed = parse_target_name(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_FALSE(parsed->name) << text;
    EXPECT_NE(parsed->reason, "") << text;
  }
}

}  // namespace varve::test
