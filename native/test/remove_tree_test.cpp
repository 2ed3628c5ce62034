#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <thread>

#include "helper/failure.h"
#include "helper/operations.h"
#include "test/temporary_directory.h"

namespace varve::test {

namespace {

const Tick kNoTick = [] {};

class RemoveTreeTest : public TemporaryDirectory {
 protected:
  // The errno of the refusal, 0 if the removal succeeded; the path that it names goes to `named_`.
  int remove(const std::string& name) {
    try {
      remove_tree(at(name), path(), kNoTick);
      return 0;
    } catch (const Failure& failure) {
      named_ = failure.path;
      return failure.error;
    }
  }

  std::string named_;
};

TEST_F(RemoveTreeTest, DeletesEverythingAndCountsIt) {
  make_directory("tree/a/b/c");
  make_directory("tree/empty");
  write_file("tree/file");
  write_file("tree/a/b/c/file");
  ASSERT_EQ(::mkfifo(at("tree/a/fifo").c_str(), 0600), 0);
  EXPECT_EQ(remove_tree(at("tree"), path(), kNoTick), 8U);
  EXPECT_FALSE(exists("tree"));
}

TEST_F(RemoveTreeTest, AbsentIsSuccess) {
  EXPECT_EQ(remove("absent"), 0);
  EXPECT_EQ(remove_tree(at("no/parent/at-all"), at("no/parent"), kNoTick), 0U);
}

TEST_F(RemoveTreeTest, DeletesLinksAndNotWhatTheyName) {
  make_directory("kept");
  write_file("kept/file");
  make_directory("tree");
  ASSERT_EQ(::symlink(at("kept").c_str(), at("tree/link").c_str()), 0);
  ASSERT_EQ(::symlink("../..", at("tree/up").c_str()), 0);
  EXPECT_EQ(remove("tree"), 0);
  EXPECT_TRUE(exists("kept/file"));
  EXPECT_FALSE(exists("tree"));
}

TEST_F(RemoveTreeTest, DeletesALinkInTheTreesPlaceOnly) {
  make_directory("kept");
  write_file("kept/file");
  ASSERT_EQ(::symlink(at("kept").c_str(), at("tree").c_str()), 0);
  EXPECT_EQ(remove("tree"), 0);
  EXPECT_TRUE(exists("kept/file"));
  EXPECT_FALSE(exists("tree"));
}

TEST_F(RemoveTreeTest, DoesNotPassThroughALinkOnTheWay) {
  make_directory("kept/tree/below");
  ASSERT_EQ(::symlink(at("kept").c_str(), at("way").c_str()), 0);
  EXPECT_EQ(remove("way/tree"), ENOTDIR);
  EXPECT_EQ(remove("way/tree/below"), ELOOP);
  EXPECT_TRUE(exists("kept/tree/below"));
}

TEST_F(RemoveTreeTest, RefusesPathsThatAreNotPlainlyBeneathTheParent) {
  make_directory("root");
  make_directory("rootless");
  const auto refused = [&](const std::string& target) {
    try {
      remove_tree(target, at("root"), kNoTick);
      return 0;
    } catch (const Failure& failure) {
      return failure.error;
    }
  };
  EXPECT_EQ(refused(at("root")), EINVAL);
  EXPECT_EQ(refused(at("root/")), EINVAL);
  EXPECT_EQ(refused(at("root/.")), EINVAL);
  EXPECT_EQ(refused(at("root/../rootless")), EINVAL);
  EXPECT_EQ(refused(at("root//x")), EINVAL);
  EXPECT_EQ(refused(at("rootless")), EINVAL);
  EXPECT_EQ(refused(""), EINVAL);
  EXPECT_TRUE(exists("rootless"));
}

TEST_F(RemoveTreeTest, RefusesATreeWithAMountBeforeDeletingAnything) {
  VARVE_NEEDS_ROOT();
  make_directory("other");
  write_file("other/precious");
  make_directory("tree/a/b c\\d/mounted");
  make_directory("tree/0");
  write_file("tree/0/file");
  write_file("tree/file");
  bind("other", "tree/a/b c\\d/mounted");
  EXPECT_EQ(remove("tree"), EBUSY);
  EXPECT_EQ(named_, at("tree/a/b c\\d/mounted"));
  EXPECT_TRUE(exists("tree/0/file"));
  EXPECT_TRUE(exists("tree/file"));
  EXPECT_TRUE(exists("other/precious"));
}

TEST_F(RemoveTreeTest, RefusesAFileThatIsAMountPoint) {
  VARVE_NEEDS_ROOT();
  write_file("precious");
  make_directory("tree");
  write_file("tree/file");
  write_file("tree/other");
  bind("precious", "tree/file");
  EXPECT_EQ(remove("tree"), EBUSY);
  EXPECT_EQ(named_, at("tree/file"));
  EXPECT_TRUE(exists("tree/other"));
}

TEST_F(RemoveTreeTest, RefusesATreeThatIsAMountPoint) {
  VARVE_NEEDS_ROOT();
  make_directory("other");
  write_file("other/precious");
  make_directory("tree");
  bind("other", "tree");
  EXPECT_EQ(remove("tree"), EBUSY);
  EXPECT_TRUE(exists("other/precious"));
}

TEST_F(RemoveTreeTest, AMountBesideTheTreeDoesNotMatter) {
  VARVE_NEEDS_ROOT();
  make_directory("tree");
  make_directory("tree-mounted");
  bind("tree", "tree-mounted");
  EXPECT_EQ(remove("tree"), 0);
}

TEST_F(RemoveTreeTest, DeletesDirectoriesWithoutPermissions) {
  make_directory("tree/work/work/below");
  ASSERT_EQ(::chmod(at("tree/work/work").c_str(), 0), 0);
  EXPECT_EQ(remove("tree"), 0);
  EXPECT_FALSE(exists("tree"));
}

TEST_F(RemoveTreeTest, DeletesWhiteouts) {
  VARVE_NEEDS_ROOT();
  make_directory("tree");
  ASSERT_EQ(::mknod(at("tree/deleted").c_str(), S_IFCHR, makedev(0, 0)), 0);
  EXPECT_EQ(remove("tree"), 0);
}

TEST_F(RemoveTreeTest, DeletesNamesOfAnyBytes) {
  make_directory("tree/\xff\xfe dir");
  write_file("tree/\xff\xfe dir/\x01 \n \xc3");
  write_file("tree/-rf");
  EXPECT_EQ(remove("tree"), 0);
}

TEST_F(RemoveTreeTest, DeletesADirectoryLargerThanOneReading) {
  make_directory("tree");
  constexpr int kCount = 2000;
  for (int index = 0; index < kCount; ++index) {
    write_file("tree/a-name-that-takes-some-room-" + std::to_string(index), "");
  }
  EXPECT_EQ(remove_tree(at("tree"), path(), kNoTick), kCount + 1U);
}

TEST_F(RemoveTreeTest, TwoRemovalsOfOneTreeBothSucceed) {
  for (int directory = 0; directory < 20; ++directory) {
    for (int file = 0; file < 20; ++file) {
      const std::string name = "tree/" + std::to_string(directory) + "/x";
      make_directory(name);
      write_file(name + "/" + std::to_string(file));
    }
  }
  int other = -1;
  std::thread rival([&] {
    try {
      remove_tree(at("tree"), path(), kNoTick);
      other = 0;
    } catch (const Failure& failure) {
      other = failure.error;
    }
  });
  EXPECT_EQ(remove("tree"), 0);
  rival.join();
  EXPECT_EQ(other, 0);
  EXPECT_FALSE(exists("tree"));
}

}  // namespace

}  // namespace varve::test
