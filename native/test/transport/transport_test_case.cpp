#include "test/transport/transport_test_case.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "syscalls/varve_sys.h"

namespace varve::test {

namespace fs = std::filesystem;

namespace {

// Mounts are those of the whole machine: only this test's, and FUSE's, are of interest.
std::set<std::string> mounts_of(const std::string& name) {
  std::set<std::string> found;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    if (line.find(name) != std::string::npos || line.find(" - fuse") != std::string::npos) {
      found.insert(line);
    }
  }
  return found;
}

std::size_t descriptor_count() {
  const fs::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

// Why no device can be attached here; empty if one can.
std::string obstacle() {
  if (::geteuid() != 0) return "needs root";
  for (const char* path : {"/dev/fuse", "/dev/loop-control"}) {
    const UniqueFd fd(::open(path, O_RDWR | O_CLOEXEC));
    if (!fd) return std::string(path) + ": " + std::strerror(errno);
  }
  return {};
}

}  // namespace

void AlignedBytes::Free::operator()(std::byte* bytes) const { std::free(bytes); }

AlignedBytes::AlignedBytes(std::size_t bytes, std::byte value)
    : bytes_(static_cast<std::byte*>(std::aligned_alloc(kBlock, bytes))), size_(bytes) {
  std::fill_n(bytes_.get(), bytes, value);
}

int read_device(int device, std::span<std::byte> destination, std::uint64_t offset) {
  const ssize_t length =
      ::pread(device, destination.data(), destination.size(), static_cast<off_t>(offset));
  if (length < 0) return -errno;
  return static_cast<std::size_t>(length) == destination.size() ? 0 : -ENODATA;
}

int write_device(int device, std::span<const std::byte> source, std::uint64_t offset) {
  const ssize_t length = ::pwrite(device, source.data(), source.size(), static_cast<off_t>(offset));
  if (length < 0) return -errno;
  return static_cast<std::size_t>(length) == source.size() ? 0 : -ENODATA;
}

int run(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp(pointers[0], pointers.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::vector<std::string> loops_named(const std::string& begin) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/sys/block")) {
    const std::string name = entry.path().filename();
    if (name.rfind("loop", 0) != 0 || !fs::exists(entry.path() / "loop")) continue;
    varve_sys_loop_status status = {};
    if (varve_sys_loop_status_get(("/dev/" + name).c_str(), &status) != 0) continue;
    const std::string told = reinterpret_cast<const char*>(status.file_name);
    if (told.rfind(begin, 0) == 0) found.push_back("/dev/" + name);
  }
  return found;
}

ScopedMount::ScopedMount(const std::string& device, std::string target, const char* type,
                         unsigned long flags)
    : target_(std::move(target)) {
  fs::create_directories(target_);
  is_mounted_ = ::mount(device.c_str(), target_.c_str(), type, flags, nullptr) == 0;
  if (!is_mounted_) error_ = -errno;
}

ScopedMount::~ScopedMount() {
  if (is_mounted_) ::umount2(target_.c_str(), MNT_DETACH);
}

int ScopedMount::unmount() {
  if (::umount2(target_.c_str(), 0) != 0) return -errno;
  is_mounted_ = false;
  return 0;
}

TransportTestCase::TransportTestCase() {
  folder_ = fs::temp_directory_path().string() + "/varve-transport-XXXXXX";
  if (::mkdtemp(folder_.data()) == nullptr) std::abort();
}

TransportTestCase::~TransportTestCase() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void TransportTestCase::SetUp() {
  if (const std::string text = obstacle(); !text.empty()) GTEST_SKIP() << text;
  // Where the namespace is refused, the tests mount where they are, and undo it all the same.
  if (::unshare(CLONE_NEWNS) == 0) {
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  mounts_before_ = mounts_of(unique_name());
  descriptors_before_ = descriptor_count();
  pool_ = std::make_shared<transport::ServingPool>();
  transport_ = std::make_unique<transport::FuseTransport>(pool_);
  is_set_up_ = true;
}

void TransportTestCase::TearDown() {
  if (!is_set_up_) return;
  // Devices that a test only dropped go away in a moment.
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (pool_->connection_count() != 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(pool_->connection_count(), 0U) << "connections are left";
  transport_.reset();
  pool_.reset();
  EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>());
  EXPECT_EQ(descriptor_count(), descriptors_before_) << "descriptors are left";
  EXPECT_EQ(mounts_of(unique_name()), mounts_before_) << "mounts are left";
}

std::unique_ptr<transport::AttachedDevice> TransportTestCase::attach(
    std::shared_ptr<transport::BlockDevice> content, bool is_read_only) {
  return transport_->attach(std::move(content),
                            {.name = unique_name(), .is_read_only = is_read_only});
}

std::string TransportTestCase::unique_name(const std::string& suffix) const {
  return fs::path(folder_).filename().string() + suffix;
}

UniqueFd TransportTestCase::open_device(const transport::AttachedDevice& device, int flags) {
  UniqueFd fd(::open(device.path().c_str(), flags | O_CLOEXEC));
  EXPECT_TRUE(fd) << device.path() << ": " << std::strerror(errno);
  return fd;
}

void TransportTestCase::expect_gone(transport::AttachedDevice& device) {
  const transport::CloseResult result = device.close(transport::CloseMode::kDetach, 10s);
  EXPECT_TRUE(result.is_gone);
  for (const transport::DeviceUser& user : result.users) ADD_FAILURE() << user.text;
}

}  // namespace varve::test
