#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "helper/failure.h"
#include "helper/mount_options.h"
#include "helper/mount_points.h"
#include "helper/operations.h"
#include "helper/relative_lowers.h"
#include "syscalls/varve_sys.h"
#include "test/temporary_directory.h"

namespace varve::test {

using MountsTest = TemporaryDirectory;

TEST(MountOptions, AreSortedIntoFlagsPropagationAndData) {
  const MountOptions parsed = parse_mount_options(
      {"ro", "nosuid", "nodev", "noexec", "rprivate", "index=off", "lowerdir=/a:/b", "userxattr"});
  EXPECT_EQ(parsed.flags, static_cast<uint64_t>(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
  EXPECT_EQ(parsed.propagation, static_cast<uint64_t>(MS_PRIVATE | MS_REC));
  EXPECT_EQ(parsed.joined_data(), "index=off,lowerdir=/a:/b,userxattr");
}

TEST(MountOptions, ALaterOptionWins) {
  EXPECT_EQ(parse_mount_options({"ro", "rw"}).flags, 0U);
  EXPECT_EQ(parse_mount_options({"rbind", "rw"}).flags, static_cast<uint64_t>(MS_BIND | MS_REC));
}

TEST(MountOptions, LowerDirectoriesSplitAtBareColons) {
  const std::vector<std::string> expected = {"/a:b", "/c\\d", "/e"};
  EXPECT_EQ(split_lower_directories("/a\\:b:/c\\\\d:/e"), expected);
}

TEST(MountFields, OctalEscapesAreUndone) {
  EXPECT_EQ(unescape_mount_field("/a\\040b\\134c\\0"), "/a b\\c\\0");
}

TEST_F(MountsTest, BindsReadOnlyAndUnmounts) {
  VARVE_NEEDS_ROOT();
  make_directory("source");
  make_directory("target");
  mount({.type = "bind", .source = at("source"), .target = at("target"), .options = {"ro", "rbind"}});
  std::ofstream refused(at("target/file"));
  EXPECT_FALSE(refused.is_open());
  write_file("source/file");
  EXPECT_TRUE(exists("target/file"));
  EXPECT_TRUE(unmount(at("target"), {}));
  EXPECT_FALSE(unmount(at("target"), {}));
  EXPECT_FALSE(unmount(at("absent"), {}));
  EXPECT_FALSE(exists("target/file"));
}

TEST_F(MountsTest, UnmountOfABusyMountIsRefusedAndDetachIsNot) {
  VARVE_NEEDS_ROOT();
  make_directory("source");
  make_directory("target");
  mount({.type = "bind", .source = at("source"), .target = at("target"), .options = {"bind"}});
  std::ofstream user(at("target/file"));
  try {
    unmount(at("target"), {});
    FAIL() << "unmounted while in use";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error, EBUSY);
    EXPECT_EQ(failure.step, "umount2");
  }
  EXPECT_TRUE(unmount(at("target"), {"detach"}));
}

TEST_F(MountsTest, AFailedMountLeavesNothingMounted) {
  VARVE_NEEDS_ROOT();
  make_directory("target");
  EXPECT_THROW(
      mount({.type = "bind", .source = at("absent"), .target = at("target"), .options = {"bind"}}),
      Failure);
  EXPECT_FALSE(unmount(at("target"), {}));
}

class OverlayTest : public TemporaryDirectory {
 protected:
  // An overlay of `count` lower directories whose names are padded to `padding` characters.
  MountRequest overlay(int count, size_t padding) {
    make_directory("upper");
    make_directory("work");
    make_directory("merged");
    std::string lowers;
    for (int index = 0; index < count; ++index) {
      std::string name = std::to_string(index);
      name = "lower/" + name + std::string(padding - std::min(padding, name.size()), 'x');
      make_directory(name);
      write_file(name + "/from-" + std::to_string(index));
      lowers += (lowers.empty() ? "" : ":") + at(name);
    }
    return {.type = "overlay",
            .source = "overlay",
            .target = at("merged"),
            .options = {"workdir=" + at("work"), "upperdir=" + at("upper"), "lowerdir=" + lowers}};
  }
};

TEST_F(OverlayTest, MountsWithinAPageOfOptions) {
  VARVE_NEEDS_ROOT();
  mount(overlay(5, 10));
  EXPECT_TRUE(exists("merged/from-0"));
  EXPECT_TRUE(exists("merged/from-4"));
}

TEST_F(OverlayTest, MountsBeyondAPageOfOptions) {
  VARVE_NEEDS_ROOT();
  mount(overlay(50, 120));
  EXPECT_TRUE(exists("merged/from-0"));
  EXPECT_TRUE(exists("merged/from-49"));
  write_file("merged/new");
  EXPECT_TRUE(exists("upper/new"));
}

TEST_F(OverlayTest, AReadOnlyMountBeyondAPageIsReadOnly) {
  VARVE_NEEDS_ROOT();
  MountRequest request = overlay(50, 120);
  request.options.erase(request.options.begin(), request.options.begin() + 2);
  request.options.emplace_back("ro");
  mount(request);
  EXPECT_TRUE(exists("merged/from-49"));
  EXPECT_FALSE(std::ofstream(at("merged/new")).is_open());
}

TEST_F(OverlayTest, MountsLowersByRelativeNamesWhereTheKernelTakesOnlyAPage) {
  VARVE_NEEDS_ROOT();
  const MountRequest request = overlay(100, 20);
  const MountOptions options = parse_mount_options(request.options);
  ASSERT_GT(options.joined_data().size(), 4095U);
  ASSERT_EQ(mount_with_relative_lowers(request, options), 0);
  EXPECT_TRUE(exists("merged/from-0"));
  EXPECT_TRUE(exists("merged/from-99"));
}

TEST_F(OverlayTest, SaysWhenEvenRelativeNamesDoNotFit) {
  VARVE_NEEDS_ROOT();
  const MountRequest request = overlay(50, 120);
  EXPECT_EQ(mount_with_relative_lowers(request, parse_mount_options(request.options)), -E2BIG);
}

TEST_F(OverlayTest, SaysWhyItCannotMount) {
  VARVE_NEEDS_ROOT();
  MountRequest request = overlay(50, 120);
  request.options.back() += ":" + at("absent");
  try {
    mount(request);
    FAIL() << "mounted";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error, ENOENT);
    EXPECT_EQ(failure.path, at("merged"));
  }
}

TEST_F(OverlayTest, AnOverlayCannotCarryUpperDirectories) {
  VARVE_NEEDS_ROOT();
  mount(overlay(2, 10));
  uint32_t failed_steps = 0;
  EXPECT_LT(varve_sys_probe_overlay_upper(at("merged").c_str(), &failed_steps), 0);
  EXPECT_NE(failed_steps & VARVE_SYS_PROBE_ON_OVERLAY, 0U);
}

}  // namespace varve::test
