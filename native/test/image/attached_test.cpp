// Images that the kernel sees: golden file systems mounted, writable ones written and found again,
// also after the process that served them was killed.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "test/image/fixture_image.h"
#include "test/transport/transport_test_case.h"

namespace varve::test {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDisk = 64 * kMebibyte;

std::shared_ptr<image::Image> open_fixture(const std::string& name) {
  const std::string config = fixture_path(name);
  image::OpenOptions options;
  options.folder = fs::path(config).parent_path().string();
  return image::Image::open(image::load_image_config(config), options);
}

std::shared_ptr<image::Image> open_upper(const std::string& folder) {
  image::OpenOptions options;
  options.folder = folder;
  return image::Image::open(
      image::parse_image_config(R"({"upper": {"data": "data", "index": "index"}})", "config"),
      options);
}

void create_upper(const std::string& folder, bool is_sparse) {
  fs::create_directories(folder);
  lsmt::NewLayer layer;
  layer.virtual_size = kDisk;
  layer.is_sparse = is_sparse;
  lsmt::WritableLayer::create(io::open_writable_file(folder + "/data", true),
                              io::open_writable_file(folder + "/index", true), layer);
}

void write_synced(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::fsync(file.get()), 0);
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Every file that the list names, by kind, mode, owner, size and content.
void expect_files(const std::string& folder, const nlohmann::json& files) {
  for (const auto& [path, wanted] : files.items()) {
    if (path == "/") continue;
    SCOPED_TRACE(path);
    struct stat status = {};
    ASSERT_EQ(::lstat((folder + path).c_str(), &status), 0);
    if (wanted.contains("mode")) {
      EXPECT_EQ(status.st_mode & 07777U, wanted.at("mode").get<unsigned>());
    }
    if (wanted.contains("uid")) {
      EXPECT_EQ(status.st_uid, wanted.at("uid").get<unsigned>());
    }
    if (wanted.contains("target")) {
      EXPECT_EQ(fs::read_symlink(folder + path).string(), wanted.at("target").get<std::string>());
    }
    if (!wanted.contains("sha256")) continue;
    const std::unique_ptr<io::File> file = io::open_file(folder + path);
    EXPECT_EQ(file->size(), wanted.at("size").get<std::uint64_t>());
    EXPECT_EQ(sha256_of(*file, 0, file->size()), wanted.at("sha256").get<std::string>());
  }
}

}  // namespace

using AttachedImageTest = TransportTestCase;

TEST_F(AttachedImageTest, GoldenFileSystemsShowTheirFiles) {
  for (const std::string folder : {"ext4-apply", "tcmu-ext4"}) {
    SCOPED_TRACE(folder);
    const auto device = attach(open_fixture(folder + "/config.v1.json"), true);
    {
      ScopedMount mounted(device->path(), at(folder), "ext4", MS_RDONLY);
      ASSERT_EQ(mounted.error(), 0);
      const nlohmann::json files = read_json(fixture_path(folder + "/files.json"));
      EXPECT_GT(files.size(), 40U);
      expect_files(at(folder), files);
      ASSERT_EQ(mounted.unmount(), 0);
    }
    expect_gone(*device);
  }
}

TEST_F(AttachedImageTest, WhatWasWrittenIsThereAfterOpeningAgain) {
  for (const bool is_sparse : {false, true}) {
    SCOPED_TRACE(is_sparse ? "sparse" : "append-only");
    const std::string folder = at(is_sparse ? "sparse" : "append");
    create_upper(folder, is_sparse);
    const std::string text(3'000'000, 'v');
    {
      const auto device = attach(open_upper(folder));
      ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", device->path()}), 0);
      ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
      ASSERT_EQ(mounted.error(), 0);
      write_synced(at("mount/file"), text);
      ASSERT_EQ(mounted.unmount(), 0);
      expect_gone(*device);
    }
    const auto device = attach(open_upper(folder));
    EXPECT_EQ(run({"e2fsck", "-f", "-n", device->path()}), 0);
    ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
    ASSERT_EQ(mounted.error(), 0);
    EXPECT_TRUE(text_of(at("mount/file")) == text);
    ASSERT_EQ(mounted.unmount(), 0);
    expect_gone(*device);
  }
}

// Run by the next test, in a process of its own that is killed.
TEST_F(AttachedImageTest, DISABLED_ServesUntilItIsKilled) {
  ASSERT_EQ(::prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
  const char* folder = std::getenv("VARVE_TEST_FOLDER");
  const char* name = std::getenv("VARVE_TEST_DEVICE");
  if (folder == nullptr || name == nullptr) GTEST_SKIP() << "is started by another test";
  const auto device = transport_->attach(open_upper(folder), {.name = name});
  std::ofstream(std::string(folder) + "/path.new") << device->path();
  fs::rename(std::string(folder) + "/path.new", std::string(folder) + "/path");
  // Nobody will at the end.
  fs::remove_all(at(""));
  for (;;) ::pause();
}

TEST_F(AttachedImageTest, NothingThatWasFlushedIsLostWhenTheServerIsKilled) {
  for (const bool is_sparse : {false, true}) {
    SCOPED_TRACE(is_sparse ? "sparse" : "append-only");
    const std::string folder = at(is_sparse ? "sparse" : "append");
    create_upper(folder, is_sparse);
    const std::string folder_variable = "VARVE_TEST_FOLDER=" + folder;
    const std::string name_variable = "VARVE_TEST_DEVICE=" + unique_name();
    const std::string path_variable = std::string("PATH=") + std::getenv("PATH");
    const std::string filter = "--gtest_filter=*DISABLED_ServesUntilItIsKilled";
    const char* const arguments[] = {"server", "--gtest_also_run_disabled_tests", filter.c_str(),
                                     nullptr};
    const char* const variables[] = {folder_variable.c_str(), name_variable.c_str(),
                                     path_variable.c_str(), nullptr};
    const pid_t child = ::fork();
    if (child == 0) {
      ::execve("/proc/self/exe", const_cast<char* const*>(arguments),
               const_cast<char* const*>(variables));
      ::_exit(127);
    }
    ASSERT_GT(child, 0);
    int status = 0;
    while (!fs::exists(folder + "/path") && ::waitpid(child, &status, WNOHANG) == 0) {
      std::this_thread::sleep_for(1ms);
    }
    ASSERT_TRUE(fs::exists(folder + "/path")) << "the server did not start";
    const std::string device = text_of(folder + "/path");
    constexpr unsigned kWrites = 50;
    {
      const UniqueFd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT));
      ASSERT_TRUE(fd);
      for (unsigned at = 0; at < kWrites; ++at) {
        const AlignedBytes bytes(64 * 1024, static_cast<std::byte>(at + 1));
        ASSERT_EQ(write_device(fd.get(), bytes.span(), at * kMebibyte), 0);
      }
      ASSERT_EQ(::fsync(fd.get()), 0);
      // Under way when the end comes, or not: nobody was told that it is safe.
      const AlignedBytes late(64 * 1024, std::byte{0xEE});
      ASSERT_EQ(write_device(fd.get(), late.span(), kDisk - kMebibyte), 0);
      ASSERT_EQ(::kill(child, SIGKILL), 0);
      ASSERT_EQ(::waitpid(child, &status, 0), child);
    }
    const auto image = open_upper(folder);
    for (unsigned at = 0; at < kWrites; ++at) {
      std::vector<std::byte> bytes(64 * 1024);
      ASSERT_EQ(image->read(bytes, at * kMebibyte), 0);
      EXPECT_TRUE(bytes == std::vector<std::byte>(bytes.size(), static_cast<std::byte>(at + 1)))
          << at;
    }
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!loops_named(unique_name()).empty() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(1ms);
    }
  }
}

}  // namespace varve::test
