// Whether two paths lead to one file, also one that is not there yet.
#include "io/same_file.h"

#include <filesystem>

#include "test/temporary_directory.h"

namespace varve::test {

namespace fs = std::filesystem;

using SameFile = TemporaryDirectory;

TEST_F(SameFile, IsFoundThroughLinks) {
  write_file("one", "");
  write_file("other", "");
  fs::create_symlink("one", at("symbolic"));
  fs::create_hard_link(at("one"), at("hard"));
  for (const char* name : {"one", "symbolic", "hard", "./one"}) {
    EXPECT_TRUE(io::is_same_file(at("one"), at(name))) << name;
  }
  EXPECT_FALSE(io::is_same_file(at("one"), at("other")));
  EXPECT_FALSE(io::is_same_file(at("one"), at("absent")));
}

TEST_F(SameFile, IsFoundBeforeItIsThere) {
  make_directory("folder");
  fs::create_directory_symlink("folder", at("link"));
  fs::create_symlink("folder/new", at("dangling"));
  fs::create_symlink(at("dangling"), at("absolute"));
  for (const char* name : {"folder/new", "link/new", "dangling", "absolute"}) {
    EXPECT_TRUE(io::is_same_file(at("folder/new"), at(name))) << name;
  }
  for (const char* name : {"folder/old", "new", "absent/new"}) {
    EXPECT_FALSE(io::is_same_file(at("folder/new"), at(name))) << name;
  }
  EXPECT_TRUE(io::is_same_file(at("absent/new"), at("absent/./new")));
}

TEST_F(SameFile, GoesRoundInNoCircle) {
  fs::create_symlink("two", at("one"));
  fs::create_symlink("one", at("two"));
  EXPECT_FALSE(io::is_same_file(at("one"), at("other")));
}

}  // namespace varve::test
