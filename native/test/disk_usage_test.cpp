#include <fcntl.h>
#include <sys/stat.h>

#include <thread>

#include "helper/failure.h"
#include "helper/operations.h"
#include "test/temporary_directory.h"

namespace varve::test {

using DiskUsageTest = TemporaryDirectory;

const Tick kNoTick = [] {};

uint64_t blocks_of(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

TEST_F(DiskUsageTest, CountsDirectoriesFilesLinksAndTheRoot) {
  make_directory("tree/below");
  write_file("tree/a", std::string(10000, 'a'));
  write_file("tree/below/b", std::string(70000, 'b'));
  ASSERT_EQ(::symlink("/usr", at("tree/link").c_str()), 0);
  const DiskUsage usage = disk_usage(at("tree"), kNoTick);
  uint64_t expected = 0;
  for (const char* name : {"tree", "tree/below", "tree/a", "tree/below/b", "tree/link"}) {
    expected += blocks_of(at(name));
  }
  EXPECT_EQ(usage.inode_count, 5U);
  EXPECT_EQ(usage.size_bytes, expected);
}

TEST_F(DiskUsageTest, CountsAFileOfSeveralNamesOnce) {
  make_directory("tree/below");
  write_file("tree/a", std::string(10000, 'a'));
  const uint64_t before = disk_usage(at("tree"), kNoTick).size_bytes;
  ASSERT_EQ(::link(at("tree/a").c_str(), at("tree/below/b").c_str()), 0);
  const DiskUsage usage = disk_usage(at("tree"), kNoTick);
  EXPECT_EQ(usage.inode_count, 3U);
  EXPECT_EQ(usage.size_bytes, before);
}

TEST_F(DiskUsageTest, CountsAllocatedBlocksOfASparseFile) {
  make_directory("tree");
  write_file("tree/sparse", "x");
  ASSERT_EQ(::truncate(at("tree/sparse").c_str(), 1 << 30), 0);
  EXPECT_LT(disk_usage(at("tree"), kNoTick).size_bytes, 1U << 20);
}

TEST_F(DiskUsageTest, LeavesOutMountedDirectoriesAndFiles) {
  VARVE_NEEDS_ROOT();
  make_directory("other/much");
  write_file("other/much/file", std::string(1 << 20, 'x'));
  make_directory("tree/mounted");
  write_file("tree/file", "small");
  const DiskUsage before = disk_usage(at("tree"), kNoTick);
  // The same file system: only the mount tells the two trees apart.
  bind("other", "tree/mounted");
  bind("other/much/file", "tree/file");
  const DiskUsage after = disk_usage(at("tree"), kNoTick);
  EXPECT_EQ(before.inode_count, 3U);
  EXPECT_EQ(after.inode_count, 1U);
}

TEST_F(DiskUsageTest, IgnoresEntriesThatVanishMeanwhile) {
  make_directory("tree");
  std::thread changer([this] {
    for (int round = 0; round < 100; ++round) {
      const std::string name = "tree/d" + std::to_string(round % 7);
      make_directory(name + "/below");
      write_file(name + "/file");
      ::unlink(at(name + "/file").c_str());
      ::rmdir(at(name + "/below").c_str());
      ::rmdir(at(name).c_str());
    }
  });
  for (int round = 0; round < 100; ++round) {
    EXPECT_NO_THROW(disk_usage(at("tree"), kNoTick));
  }
  changer.join();
}

TEST_F(DiskUsageTest, MeasuresATreeDeeperThanItMayHoldOpen) {
  make_directory("tree");
  int parent = ::open(at("tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  constexpr int kDepth = 600;
  for (int level = 0; level < kDepth; ++level) {
    ASSERT_EQ(::mkdirat(parent, "a-rather-long-directory-name", 0755), 0);
    const int below =
        ::openat(parent, "a-rather-long-directory-name", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(parent);
    ASSERT_GE(parent = below, 0);
  }
  ::close(parent);
  EXPECT_EQ(disk_usage(at("tree"), kNoTick).inode_count, kDepth + 1U);
  EXPECT_EQ(remove_tree(at("tree"), path(), kNoTick), kDepth + 1U);
}

TEST_F(DiskUsageTest, SaysWhatIsAbsent) {
  try {
    disk_usage(at("absent"), kNoTick);
    FAIL() << "no failure";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error, ENOENT);
    EXPECT_EQ(failure.step, "open");
    EXPECT_EQ(failure.path, at("absent"));
  }
}

}  // namespace varve::test
