#include "helper/directory_stack.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "helper/failure.h"
#include "test/temporary_directory.h"

namespace varve::test {

using DirectoryStackTest = TemporaryDirectory;

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

TEST_F(DirectoryStackTest, NeverStepsOntoAnotherMount) {
  VARVE_NEEDS_ROOT();
  make_directory("other");
  make_directory("tree/mounted");
  bind("other", "tree/mounted");
  DirectoryStack stack(open_directory(at("tree")), at("tree"));
  EXPECT_EQ(stack.descend("mounted"), EXDEV);
  EXPECT_TRUE(stack.at_root());
}

TEST_F(DirectoryStackTest, NeverStepsThroughALinkOrUpwards) {
  make_directory("other");
  make_directory("tree");
  ASSERT_EQ(::symlink("../other", at("tree/link").c_str()), 0);
  DirectoryStack stack(open_directory(at("tree")), at("tree"));
  EXPECT_EQ(stack.descend("link"), ENOTDIR);
  EXPECT_EQ(stack.descend("link/."), ELOOP);
  EXPECT_EQ(stack.descend("../other"), EXDEV);
  EXPECT_EQ(stack.descend(at("other")), EXDEV);
}

TEST_F(DirectoryStackTest, ATreeMovedDuringTheWalkEndsTheWalk) {
  make_directory("elsewhere");
  std::string path = "tree";
  // Deep enough that the upper directories are no longer held open.
  for (int level = 0; level < 100; ++level) path += "/d";
  make_directory(path);
  DirectoryStack stack(open_directory(at("tree")), at("tree"));
  for (int level = 0; level < 100; ++level) ASSERT_EQ(stack.descend("d"), 0);
  ASSERT_EQ(::rename(at("tree/d/d").c_str(), at("elsewhere/d").c_str()), 0);
  try {
    while (!stack.at_root()) stack.ascend();
    FAIL() << "went up through another directory";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error, ESTALE);
    EXPECT_EQ(failure.path, at("tree/d/d"));
  }
}

}  // namespace varve::test
