// File systems on a device: made, filled, synced, mounted again, checked.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <random>

#include "test/transport/transport_test_case.h"

namespace varve::test {

using FileSystemTest = TransportTestCase;

namespace {

constexpr int kFiles = 40;

std::string random_text(std::mt19937& random, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (char& byte : text) byte = static_cast<char>(random());
  return text;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_synced(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::fsync(file.get()), 0);
}

}  // namespace

TEST_F(FileSystemTest, FilesOnExt4AreThereAfterMountingAgain) {
  const auto content = std::make_shared<MemoryDevice>(64 * kMebibyte);
  std::mt19937 random(1);
  std::vector<std::string> texts;
  {
    const auto device = attach(content);
    ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", device->path()}), 0);
    ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
    ASSERT_EQ(mounted.error(), 0);
    for (int index = 0; index < kFiles; ++index) {
      texts.push_back(random_text(random, random() % 400'000));
      write_synced(at("mount/" + std::to_string(index)), texts.back());
    }
    EXPECT_GE(content->flush_count, static_cast<std::uint64_t>(kFiles));
    ASSERT_EQ(mounted.unmount(), 0);
    EXPECT_EQ(run({"e2fsck", "-f", "-n", device->path()}), 0);
    expect_gone(*device);
  }
  // A device of its own, read-only.
  const auto device = attach(content, true);
  const std::uint64_t writes_before = content->write_count;
  ScopedMount mounted(device->path(), at("mount"), "ext4", MS_RDONLY);
  ASSERT_EQ(mounted.error(), 0);
  for (int index = 0; index < kFiles; ++index) {
    EXPECT_EQ(read_file(at("mount/" + std::to_string(index))),
              texts[static_cast<std::size_t>(index)])
        << index;
  }
  EXPECT_EQ(content->write_count, writes_before);
  ASSERT_EQ(mounted.unmount(), 0);
  expect_gone(*device);
}

TEST_F(FileSystemTest, SyncedFilesAreInTheContentBeforeAnythingIsUnmounted) {
  const auto content = std::make_shared<MemoryDevice>(32 * kMebibyte);
  const auto device = attach(content);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", device->path()}), 0);
  ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
  ASSERT_EQ(mounted.error(), 0);
  std::mt19937 random(2);
  const std::string text = random_text(random, 1'000'000);
  write_synced(at("mount/file"), text);
  // What a crash at this moment would leave.
  const auto copy = std::make_shared<MemoryDevice>(32 * kMebibyte);
  copy->fill(content->content());
  const auto other = attach(copy);
  ScopedMount again(other->path(), at("again"), "ext4", 0);
  ASSERT_EQ(again.error(), 0);
  EXPECT_EQ(read_file(at("again/file")), text);
}

TEST_F(FileSystemTest, TrimmingReachesTheContent) {
  const auto content = std::make_shared<MemoryDevice>(32 * kMebibyte);
  const auto device = attach(content);
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", "-E", "nodiscard", device->path()}), 0);
  ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
  ASSERT_EQ(mounted.error(), 0);
  EXPECT_EQ(content->discarded_bytes, 0U);
  fstrim_range range = {};
  range.len = UINT64_MAX;
  const UniqueFd directory(::open(at("mount").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::ioctl(directory.get(), FITRIM, &range), 0);
  EXPECT_GT(content->discarded_bytes, 16 * kMebibyte);
}

}  // namespace varve::test
