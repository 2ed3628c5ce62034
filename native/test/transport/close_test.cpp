// What closing a device does while nobody, or somebody, uses it; and who that is.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <thread>

#include "test/transport/transport_test_case.h"
#include "transport/loop_device.h"

namespace varve::test {

using transport::CloseMode;
using transport::CloseResult;
using transport::DeviceUser;
using CloseTest = TransportTestCase;

namespace {

// A process that has a device open until it is told to end.
class OtherProcess {
 public:
  explicit OtherProcess(const std::string& device) {
    int ends[2] = {};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd theirs(ends[1]);
    ours_.reset(ends[0]);
    child_ = ::fork();
    if (child_ == 0) {
      // Only calls that are safe in the child of a process with threads. The parent's own
      // descriptors of the device are none of its.
      constexpr int kSocket = 3;
      ::dup2(ends[1], kSocket);
      ::close_range(kSocket + 1, ~0U, 0);
      const int fd = ::open(device.c_str(), O_RDONLY | O_CLOEXEC);
      char byte = fd >= 0 ? 'y' : 'n';
      static_cast<void>(::write(kSocket, &byte, 1));
      static_cast<void>(::read(kSocket, &byte, 1));
      ::_exit(0);
    }
    char byte = 0;
    EXPECT_EQ(::read(ours_.get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
  }
  ~OtherProcess() { end(); }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  void end() {
    if (child_ <= 0) return;
    ours_.reset();
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }
  [[nodiscard]] int process() const { return child_; }

 private:
  UniqueFd ours_;
  pid_t child_ = 0;
};

bool names_descriptor_of(const std::vector<DeviceUser>& users, int process) {
  return std::any_of(users.begin(), users.end(), [process](const DeviceUser& user) {
    return user.kind == DeviceUser::Kind::kDescriptor && user.process == process &&
           user.text.rfind("process " + std::to_string(process) + " (", 0) == 0;
  });
}

bool has_kind(const std::vector<DeviceUser>& users, DeviceUser::Kind kind) {
  return std::any_of(users.begin(), users.end(),
                     [kind](const DeviceUser& user) { return user.kind == kind; });
}

}  // namespace

TEST_F(CloseTest, AnUnusedDeviceIsGoneAtOnce) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  EXPECT_TRUE(device->users().empty());
  const CloseResult result = device->close(CloseMode::kIfUnused, 10s);
  EXPECT_EQ(result.error, 0);
  EXPECT_TRUE(result.is_gone);
  EXPECT_TRUE(result.users.empty());
  EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>());
  EXPECT_EQ(content.use_count(), 1) << "the content is still held";
  EXPECT_TRUE(device->close(CloseMode::kDetach, 10s).is_gone) << "a second time";
  EXPECT_EQ(device->resized(), -ENODEV);
}

TEST_F(CloseTest, ADeviceInUseIsKeptAndItsUserNamed) {
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  OtherProcess other(device->path());
  const CloseResult refused = device->close(CloseMode::kIfUnused, 10s);
  EXPECT_EQ(refused.error, -EBUSY);
  EXPECT_FALSE(refused.is_gone);
  EXPECT_TRUE(names_descriptor_of(refused.users, other.process()));
  EXPECT_EQ(refused.users.size(), 1U);
  {
    const UniqueFd fd = open_device(*device, O_RDONLY | O_DIRECT);
    const AlignedBytes bytes(kBlock);
    EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
  }
  other.end();
  EXPECT_TRUE(device->close(CloseMode::kIfUnused, 10s).is_gone);
}

TEST_F(CloseTest, WhoeverOnlyLooksAtADeviceIsNoUser) {
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  std::promise<void> is_open;
  std::thread looker([&] {
    const UniqueFd fd = open_device(*device, O_RDONLY);
    is_open.set_value();
    std::this_thread::sleep_for(5ms);
  });
  is_open.get_future().wait();
  const CloseResult result = device->close(CloseMode::kIfUnused, 10s);
  looker.join();
  EXPECT_EQ(result.error, 0);
  EXPECT_TRUE(result.is_gone);
}

TEST_F(CloseTest, ADeviceThatIsGoneDoesNothingToOneThatTookItsNumbers) {
  // The kernel gives the numbers that became free to the next ones.
  const auto gone = attach(std::make_shared<MemoryDevice>(kMebibyte));
  const std::string path = gone->path();
  ASSERT_TRUE(gone->close(CloseMode::kDetach, 10s).is_gone);
  const auto next = attach(std::make_shared<MemoryDevice>(kMebibyte));
  const UniqueFd fd = open_device(*next, O_RDONLY | O_DIRECT);
  if (next->path() != path) GTEST_SKIP() << "somebody else has the number";
  EXPECT_TRUE(gone->users().empty());
  EXPECT_TRUE(gone->close(CloseMode::kAbort, 10s).is_gone);
  const AlignedBytes bytes(kBlock);
  EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), 0);
}

TEST_F(CloseTest, WhatNobodyFlushedIsWrittenWhenADeviceIsLetGoOf) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  const std::vector<std::byte> written(kMebibyte, std::byte{3});
  {
    const UniqueFd fd = open_device(*device, O_RDWR);
    EXPECT_EQ(write_device(fd.get(), written, 0), 0);
  }
  EXPECT_TRUE(device->close(CloseMode::kIfUnused, 10s).is_gone);
  EXPECT_EQ(content->content(), written);
}

TEST_F(CloseTest, ADetachedDeviceServesItsUsersAndGoesWithTheLast) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  OtherProcess other(device->path());
  const CloseResult result = device->close(CloseMode::kDetach, 1ms);
  EXPECT_EQ(result.error, 0);
  EXPECT_FALSE(result.is_gone);
  EXPECT_TRUE(names_descriptor_of(result.users, ::getpid()));
  EXPECT_TRUE(names_descriptor_of(result.users, other.process()));
  const AlignedBytes bytes(kBlock, std::byte{3});
  EXPECT_EQ(write_device(fd.get(), bytes.span(), 0), 0);
  EXPECT_EQ(content->content()[0], std::byte{3});
  fd.reset();
  EXPECT_EQ(device->users().size(), 1U);
  other.end();
  EXPECT_TRUE(device->close(CloseMode::kDetach, 10s).is_gone);
  EXPECT_TRUE(device->users().empty());
}

TEST_F(CloseTest, AnAbortedDeviceFailsItsUsersAndGoesWithTheLast) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  UniqueFd fd = open_device(*device, O_RDONLY | O_DIRECT);
  const CloseResult result = device->close(CloseMode::kAbort, 10s);
  EXPECT_FALSE(result.is_gone);
  EXPECT_TRUE(names_descriptor_of(result.users, ::getpid()));
  EXPECT_EQ(content.use_count(), 1) << "the content is still held";
  const AlignedBytes bytes(kBlock);
  EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), -EIO);
  EXPECT_EQ(loops_named(unique_name()).size(), 1U);
  fd.reset();
  EXPECT_TRUE(device->close(CloseMode::kDetach, 10s).is_gone);
  EXPECT_EQ(loops_named(unique_name()), std::vector<std::string>());
}

TEST_F(CloseTest, AnAbortFreesReadersOfContentThatHangs) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = attach(content);
  content->stall_reads();
  std::thread reader([&] {
    const UniqueFd fd = open_device(*device, O_RDONLY | O_DIRECT);
    const AlignedBytes bytes(kBlock);
    EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), -EIO);
  });
  ASSERT_TRUE(content->wait_for_stalled(1));
  EXPECT_FALSE(device->close(CloseMode::kAbort, 1ms).is_gone);
  reader.join();  // though the content has not answered
  content->let_reads_go();
  EXPECT_TRUE(device->close(CloseMode::kDetach, 10s).is_gone);
}

TEST_F(CloseTest, NamesMountsAndWhoUsesFilesOfOneThatWasDetached) {
  const auto device = attach(std::make_shared<MemoryDevice>(16 * kMebibyte));
  ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", device->path()}), 0);
  UniqueFd file;
  {
    const std::string mount_point = at("a mount \\ its point");
    ScopedMount mounted(device->path(), mount_point, "ext4", 0);
    ASSERT_EQ(mounted.error(), 0);
    const CloseResult refused = device->close(CloseMode::kIfUnused, 10s);
    EXPECT_EQ(refused.error, -EBUSY);
    ASSERT_EQ(refused.users.size(), 1U);
    EXPECT_EQ(refused.users[0].kind, DeviceUser::Kind::kMount);
    EXPECT_EQ(refused.users[0].text, "it is mounted at " + mount_point);
    file.reset(::open((mount_point + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(file);
  }
  const CloseResult result = device->close(CloseMode::kDetach, 1ms);
  EXPECT_FALSE(result.is_gone);
  ASSERT_EQ(result.users.size(), 1U);
  EXPECT_EQ(result.users[0].kind, DeviceUser::Kind::kFile);
  EXPECT_EQ(result.users[0].process, ::getpid());
  file.reset();
  expect_gone(*device);
}

TEST_F(CloseTest, NamesDevicesThatAreBuiltOnIt) {
  if (run({"sh", "-c", "dmsetup targets >/dev/null 2>&1"}) != 0) {
    GTEST_SKIP() << "needs dmsetup and device mapper";
  }
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  const std::string table = "0 2048 linear " + device->path() + " 0";
  ASSERT_EQ(run({"dmsetup", "create", unique_name(), "--table", table}), 0);
  const CloseResult refused = device->close(CloseMode::kIfUnused, 10s);
  EXPECT_EQ(run({"dmsetup", "remove", unique_name()}), 0);
  EXPECT_EQ(refused.error, -EBUSY);
  EXPECT_TRUE(has_kind(refused.users, DeviceUser::Kind::kHolder));
  expect_gone(*device);
}

TEST_F(CloseTest, NamesLoopDevicesOnIt) {
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  {
    const UniqueFd file = open_device(*device, O_RDWR);
    const transport::LoopDevice upper(file.get(), {.name = unique_name("-upper")});
    const std::string name = upper.path().substr(std::string("/dev/").size());
    const std::vector<DeviceUser> users = device->users();
    EXPECT_TRUE(std::any_of(users.begin(), users.end(), [&](const DeviceUser& user) {
      return user.kind == DeviceUser::Kind::kHolder &&
             user.text == "the block device " + name + " is built on it";
    }));
  }
  expect_gone(*device);
}

TEST_F(CloseTest, NamesWhoHasItMapped) {
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  void* mapped = nullptr;
  {
    const UniqueFd fd = open_device(*device, O_RDONLY);
    mapped = ::mmap(nullptr, kBlock, PROT_READ, MAP_SHARED, fd.get(), 0);
  }
  ASSERT_NE(mapped, MAP_FAILED);
  const CloseResult refused = device->close(CloseMode::kIfUnused, 10s);
  ::munmap(mapped, kBlock);
  EXPECT_EQ(refused.error, -EBUSY);
  EXPECT_TRUE(names_descriptor_of(refused.users, ::getpid()));
  EXPECT_EQ(refused.users.size(), 1U);
  expect_gone(*device);
}

TEST_F(CloseTest, SaysThatSomebodyIsThereWhoCannotBeFound) {
  const auto device = attach(std::make_shared<MemoryDevice>(kMebibyte));
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd sender(ends[0]);
  UniqueFd receiver(ends[1]);
  {
    // A descriptor that is on its way belongs to no process.
    const UniqueFd fd = open_device(*device, O_RDONLY);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    char byte = 0;
    iovec bytes = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    std::memcpy(CMSG_DATA(header), &number, sizeof number);
    ASSERT_EQ(::sendmsg(sender.get(), &message, 0), 1);
  }
  const CloseResult result = device->close(CloseMode::kIfUnused, 1ms);
  EXPECT_FALSE(result.is_gone);
  ASSERT_EQ(result.users.size(), 1U);
  EXPECT_EQ(result.users[0].text, "somebody who cannot be found has it open");
  sender.reset();
  receiver.reset();
  expect_gone(*device);
}

TEST_F(CloseTest, AnAttachThatFailsLeavesNothing) {
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  EXPECT_THROW(transport_->attach(content, {.name = unique_name(), .block_size_bytes = 1000}),
               transport::TransportError);
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (content.use_count() > 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(content.use_count(), 1);
}

TEST_F(CloseTest, ATestThatFailsLeavesNothing) {
  // As a failed assertion leaves a test: with a device, a mount and a descriptor that nobody
  // closed.
  const auto fail_in_the_middle = [this] {
    const auto device = attach(std::make_shared<MemoryDevice>(16 * kMebibyte));
    const UniqueFd fd = open_device(*device, O_RDONLY);
    EXPECT_EQ(run({"mkfs.ext4", "-q", "-F", device->path()}), 0);
    const ScopedMount mounted(device->path(), at("mount"), "ext4", 0);
    EXPECT_EQ(mounted.error(), 0);
    throw std::runtime_error("failed");
  };
  EXPECT_THROW(fail_in_the_middle(), std::runtime_error);
}

TEST_F(CloseTest, AProcessThatIsKilledLeavesNothing) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // The child starts threads, which a sanitizer's runtime need not survive after a fork.
  GTEST_SKIP() << "a forked child with threads needs a build without sanitizers";
#endif
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    // The threads of the pool stayed in the parent, so the child has one of its own. Its
    // descriptors are the parent's, too; what it opens itself is not.
    const auto pool = std::make_shared<transport::ServingPool>();
    transport::FuseTransport own_transport(pool);
    const auto device = own_transport.attach(std::make_shared<MemoryDevice>(kMebibyte),
                                             {.name = unique_name("-child")});
    static_cast<void>(::write(theirs.get(), "y", 1));
    ::pause();
    ::_exit(1);
  }
  theirs.reset();
  char byte = 0;
  ASSERT_EQ(::read(ours.get(), &byte, 1), 1);
  EXPECT_EQ(loops_named(unique_name("-child")).size(), 1U);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (!loops_named(unique_name("-child")).empty() &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(loops_named(unique_name("-child")), std::vector<std::string>());
}

}  // namespace varve::test
