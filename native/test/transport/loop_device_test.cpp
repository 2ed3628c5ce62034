// Loop devices on plain files.
#include "transport/loop_device.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/transport/transport_test_case.h"

namespace varve::test {

using transport::LoopDevice;
using LoopDeviceTest = TransportTestCase;

TEST_F(LoopDeviceTest, EndsWithItsObject) {
  const UniqueFd file(::open(at("content").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), kMebibyte), 0);
  {
    const LoopDevice loop(file.get(), {.name = unique_name()});
    EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>{loop.path()});
  }
  EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>());
}

TEST_F(LoopDeviceTest, IsThereAsLongAsSomebodyKeepsItOpen) {
  const UniqueFd file(::open(at("content").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), kMebibyte), 0);
  UniqueFd kept;
  std::string path;
  {
    const LoopDevice loop(file.get(), {.name = unique_name()});
    path = loop.path();
    kept.reset(::dup(loop.descriptor()));
  }
  const LoopDevice again(std::move(kept), path);
  EXPECT_EQ(again.size(), kMebibyte);
  EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>{path});
}

TEST_F(LoopDeviceTest, KnowsWhichFileSystemLiesBehindIt) {
  const UniqueFd file(::open(at("content").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), kMebibyte), 0);
  struct stat status = {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  LoopDevice loop(file.get(), {.name = unique_name()});
  const std::string path = loop.path();
  EXPECT_TRUE(transport::is_loop_on(path, status.st_dev));
  EXPECT_FALSE(transport::is_loop_on(path, status.st_dev + 1));
  loop.detach();
  EXPECT_FALSE(transport::is_loop_on(path, status.st_dev));
}

TEST_F(LoopDeviceTest, SaysWhatTheKernelRefuses) {
  const UniqueFd file(::open(at("content").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  try {
    const LoopDevice loop(file.get(), {.name = unique_name(), .block_size_bytes = 1000});
    FAIL() << "attached";
  } catch (const transport::TransportError& failure) {
    EXPECT_EQ(failure.error(), EINVAL);
    EXPECT_NE(std::string(failure.what()).find("LOOP_CONFIGURE of /dev/loop"), std::string::npos);
  }
}

}  // namespace varve::test
