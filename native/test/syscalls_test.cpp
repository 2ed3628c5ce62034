#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"
#include "syscalls/varve_sys.h"
#include "test/temporary_directory.h"

namespace varve::test {

using SyscallsTest = TemporaryDirectory;

struct stat status_of(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

TEST_F(SyscallsTest, StatxAgreesWithStat) {
  write_file("file", std::string(5000, 'x'));
  const struct stat expected = status_of(at("file"));
  varve_sys_file_status found = {};
  ASSERT_EQ(varve_sys_statx(at("file").c_str(), &found), 0);
  EXPECT_EQ(found.device, expected.st_dev);
  EXPECT_EQ(found.inode, expected.st_ino);
  EXPECT_EQ(found.mode, expected.st_mode);
  EXPECT_EQ(found.size_bytes, 5000U);
  EXPECT_EQ(found.blocks, static_cast<uint64_t>(expected.st_blocks));
  EXPECT_EQ(found.mtime_seconds, expected.st_mtim.tv_sec);
  EXPECT_EQ(found.mtime_nanoseconds, expected.st_mtim.tv_nsec);
  EXPECT_EQ(found.is_mount_root, 0U);
  EXPECT_EQ(varve_sys_statx(at("absent").c_str(), &found), -ENOENT);
}

TEST_F(SyscallsTest, StatxKnowsMountRoots) {
  VARVE_NEEDS_ROOT();
  make_directory("source");
  make_directory("target");
  varve_sys_file_status before = {};
  varve_sys_file_status after = {};
  ASSERT_EQ(varve_sys_statx(at("target").c_str(), &before), 0);
  bind("source", "target");
  ASSERT_EQ(varve_sys_statx(at("target").c_str(), &after), 0);
  EXPECT_EQ(after.is_mount_root, 1U);
  EXPECT_NE(after.mount_id, before.mount_id);
}

TEST_F(SyscallsTest, SyncsFilesDirectoriesAndFileSystems) {
  write_file("file");
  EXPECT_EQ(varve_sys_fsync(at("file").c_str()), 0);
  EXPECT_EQ(varve_sys_fsync(path().c_str()), 0);
  EXPECT_EQ(varve_sys_syncfs(path().c_str()), 0);
  EXPECT_EQ(varve_sys_fsync(at("absent").c_str()), -ENOENT);
}

TEST_F(SyscallsTest, PreallocatesAndKeepsContent) {
  write_file("file", "kept");
  ASSERT_EQ(varve_sys_preallocate(at("file").c_str(), 1 << 20), 0);
  EXPECT_GE(status_of(at("file")).st_blocks * 512, 1 << 20);
  std::string word;
  std::ifstream(at("file")).read(word.assign(4, ' ').data(), 4);
  EXPECT_EQ(word, "kept");
  ASSERT_EQ(varve_sys_preallocate(at("new").c_str(), 4096), 0);
  EXPECT_EQ(status_of(at("new")).st_mode & 07777, 0600U);
  EXPECT_EQ(varve_sys_preallocate(at("zero").c_str(), 0), -EINVAL);
}

TEST_F(SyscallsTest, AFailedPreallocationLeavesNothing) {
  VARVE_NEEDS_ROOT();
  make_directory("small");
  ASSERT_EQ(::mount("small", at("small").c_str(), "tmpfs", 0, "size=64k"), 0);
  EXPECT_EQ(varve_sys_preallocate(at("small/new").c_str(), 1 << 20), -ENOSPC);
  EXPECT_FALSE(exists("small/new"));
}

TEST_F(SyscallsTest, RoomIsKeptBehindTheEndOfAFile) {
  VARVE_NEEDS_ROOT();
  make_directory("small");
  ASSERT_EQ(::mount("small", at("small").c_str(), "tmpfs", 0, "size=64k"), 0);
  write_file("small/log", "begun");
  ASSERT_EQ(varve_sys_keep_room(at("small/log").c_str(), 32 << 10), 0);
  EXPECT_EQ(status_of(at("small/log")).st_size, 5);
  EXPECT_GE(status_of(at("small/log")).st_blocks * 512, 32 << 10);
  EXPECT_EQ(varve_sys_keep_room(at("small/log").c_str(), 1 << 20), -ENOSPC);
  EXPECT_EQ(varve_sys_keep_room(at("small/absent").c_str(), 4096), -ENOENT);
}

// The results of one call for `layers` below `directory`.
std::vector<int> make_layers(const std::string& directory, std::vector<varve_sys_layer> layers) {
  const auto count = static_cast<uint32_t>(layers.size());
  EXPECT_EQ(varve_sys_make_layers(directory.c_str(), layers.data(), count), 0);
  std::vector<int> results;
  for (const varve_sys_layer& layer : layers) results.push_back(layer.result);
  return results;
}

varve_sys_layer layer(uint64_t id, uint64_t parent_id = 0,
                      uint32_t flags = VARVE_SYS_LAYER_WITH_WORK) {
  return {.id = id, .parent_id = parent_id, .flags = flags, .result = 99};
}

TEST_F(SyscallsTest, LayersHaveExactModes) {
  const mode_t umask_before = ::umask(0077);
  const std::vector<int> results = make_layers(path(), {layer(42), layer(43, 42, 0)});
  ::umask(umask_before);
  EXPECT_EQ(results, (std::vector<int>{0, 0}));
  EXPECT_EQ(status_of(at("42")).st_mode & 07777, 0700U);
  EXPECT_EQ(status_of(at("42/fs")).st_mode & 07777, 0755U);
  EXPECT_EQ(status_of(at("42/work")).st_mode & 07777, 0711U);
  EXPECT_EQ(status_of(at("43/fs")).st_mode & 07777, 0755U);
  EXPECT_FALSE(exists("43/work"));
}

TEST_F(SyscallsTest, LayersGetTheOwnerOfTheirParent) {
  VARVE_NEEDS_ROOT();
  EXPECT_EQ(make_layers(path(), {layer(1)}), std::vector<int>{0});
  ASSERT_EQ(::chown(at("1/fs").c_str(), 1234, 5678), 0);
  EXPECT_EQ(make_layers(path(), {layer(2, 1)}), std::vector<int>{0});
  EXPECT_EQ(status_of(at("2/fs")).st_uid, 1234U);
  EXPECT_EQ(status_of(at("2/fs")).st_gid, 5678U);
  EXPECT_EQ(status_of(at("2/fs")).st_mode & 07777, 0755U);
  EXPECT_EQ(status_of(at("2")).st_uid, 0U);
  EXPECT_EQ(status_of(at("2/work")).st_uid, 0U);
}

TEST_F(SyscallsTest, ALayerThatFailsDoesNotConcernItsNeighbours) {
  make_directory("7");
  write_file("7/kept");
  const std::vector<int> results =
      make_layers(path(), {layer(7), layer(8), layer(0), layer(9, 0, 6), layer(10, 404),
                           layer(UINT64_MAX)});
  EXPECT_EQ(results, (std::vector<int>{-EEXIST, 0, -EINVAL, -EINVAL, -ENOENT, 0}));
  EXPECT_TRUE(exists("7/kept"));
  EXPECT_TRUE(exists("8/work"));
  EXPECT_FALSE(exists("9"));
  EXPECT_FALSE(exists("10"));
  EXPECT_TRUE(exists("18446744073709551615/fs"));
  EXPECT_EQ(varve_sys_make_layers(at("absent").c_str(), nullptr, 0), -ENOENT);
}

TEST_F(SyscallsTest, AFailedLayerLeavesNothing) {
  VARVE_NEEDS_ROOT();
  make_directory("small");
  // Room for the root and two more inodes, so that the third directory cannot be made.
  ASSERT_EQ(::mount("small", at("small").c_str(), "tmpfs", 0, "nr_inodes=3"), 0);
  EXPECT_EQ(make_layers(at("small"), {layer(1)}), std::vector<int>{-ENOSPC});
  EXPECT_FALSE(exists("small/1"));
}

TEST_F(SyscallsTest, TheProbeLeavesNothingBehind) {
  VARVE_NEEDS_ROOT();
  uint32_t failed_steps = 99;
  EXPECT_EQ(varve_sys_probe_overlay_upper(path().c_str(), &failed_steps), 0);
  EXPECT_EQ(failed_steps, 0U);
  EXPECT_EQ(::rmdir(path().c_str()), 0) << "the scratch directory is not empty";
  EXPECT_EQ(varve_sys_probe_overlay_upper(at("absent").c_str(), &failed_steps), -ENOENT);
  EXPECT_EQ(failed_steps, VARVE_SYS_PROBE_SCRATCH);
}

TEST_F(SyscallsTest, TheLockIsExclusiveAndNamesItsHolder) {
  UniqueFd first(varve_sys_lock_file(at("lock").c_str()));
  ASSERT_TRUE(first);
  EXPECT_EQ(varve_sys_lock_file(at("lock").c_str()), -EWOULDBLOCK);
  EXPECT_NE(::fcntl(first.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(status_of(at("lock")).st_mode & 07777, 0600U);
  pid_t holder = 0;
  std::ifstream(at("lock")) >> holder;
  EXPECT_EQ(holder, ::getpid());
  first.reset();
  const UniqueFd second(varve_sys_lock_file(at("lock").c_str()));
  EXPECT_TRUE(second);
}

TEST_F(SyscallsTest, DescriptorsPassThroughASocket) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd sender(pair[0]);
  const UniqueFd receiver(pair[1]);
  write_file("file", "through");
  const UniqueFd file(::open(at("file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(varve_sys_send_fd(sender.get(), file.get()), 0);
  const UniqueFd received(varve_sys_receive_fd(receiver.get()));
  ASSERT_TRUE(received);
  EXPECT_NE(::fcntl(received.get(), F_GETFD) & FD_CLOEXEC, 0);
  char text[8] = {};
  EXPECT_EQ(::pread(received.get(), text, 7, 0), 7);
  EXPECT_STREQ(text, "through");
  ASSERT_EQ(::write(sender.get(), "x", 1), 1);
  EXPECT_EQ(varve_sys_receive_fd(receiver.get()), -EBADMSG);
  sender.reset();
  EXPECT_EQ(varve_sys_receive_fd(receiver.get()), -ENODATA);
}

// How many descriptors this process has open.
size_t open_descriptor_count() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    count += entry.is_symlink() ? 1 : 0;
  }
  return count;
}

TEST_F(SyscallsTest, AMessageWithSeveralDescriptorsIsRefusedAndLeavesNoneOpen) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd sender(pair[0]);
  const UniqueFd receiver(pair[1]);
  const int sent[3] = {0, 1, 2};
  char byte = 0;
  iovec content = {&byte, 1};
  const size_t before = open_descriptor_count();
  for (const size_t count : {2U, 3U}) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof sent)] = {};
    msghdr message = {};
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(header), sent, count * sizeof(int));
    ASSERT_EQ(::sendmsg(sender.get(), &message, 0), 1);
    EXPECT_EQ(varve_sys_receive_fd(receiver.get()), -EBADMSG);
  }
  EXPECT_EQ(open_descriptor_count(), before);
}

TEST_F(SyscallsTest, NotificationsArriveAtPathAndAbstractSockets) {
  for (const std::string& name : {at("notify"), "@varve-test-" + std::to_string(::getpid())}) {
    const UniqueFd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    ASSERT_EQ(::bind(manager.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(varve_sys_notify(name.c_str(), "READY=1\nSTATUS=fine"), 0);
    char text[64] = {};
    EXPECT_GT(::recv(manager.get(), text, sizeof text - 1, MSG_DONTWAIT), 0);
    EXPECT_STREQ(text, "READY=1\nSTATUS=fine");
  }
  EXPECT_EQ(varve_sys_notify("relative", "READY=1"), -EINVAL);
  EXPECT_EQ(varve_sys_notify(std::string(200, '/').c_str(), "READY=1"), -ENAMETOOLONG);
  EXPECT_EQ(varve_sys_notify(at("nobody").c_str(), "READY=1"), -ENOENT);
}

TEST_F(SyscallsTest, ExitNowEndsTheProcessWithoutItsExitHandlers) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::atexit([] { ::_exit(1); });
    varve_sys_exit_now(7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(SyscallsTest, AProcessDescriptorTellsTheEnd) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const UniqueFd fd(varve_sys_pidfd_open(child));
  ASSERT_TRUE(fd);
  pollfd waiting = {fd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 5000), 1);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(varve_sys_pidfd_open(child), -ESRCH);
}

TEST_F(SyscallsTest, AProcessDescriptorIsAskedAndSignalsItsProcessAlone) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const UniqueFd fd(varve_sys_pidfd_open(child));
  ASSERT_TRUE(fd);
  EXPECT_EQ(varve_sys_pidfd_has_ended(fd.get()), 0);
  EXPECT_EQ(varve_sys_pidfd_signal(fd.get(), SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(varve_sys_pidfd_has_ended(fd.get()), 1);
  EXPECT_EQ(varve_sys_pidfd_signal(fd.get(), SIGKILL), -ESRCH);
  EXPECT_EQ(varve_sys_pidfd_has_ended(-1), 0) << "poll leaves out what is negative";
}

TEST_F(SyscallsTest, AnEndedChildIsReapedAndARunningOneIsNot) {
  int gate[2] = {};
  ASSERT_EQ(::pipe(gate), 0);
  const UniqueFd reading(gate[0]);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::close(gate[1]);
    ::_exit(static_cast<int>(::read(gate[0], &byte, 1)));
  }
  EXPECT_EQ(varve_sys_reap(child), 0);
  ::close(gate[1]);
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(varve_sys_reap(child), 1);
  EXPECT_EQ(varve_sys_reap(child), -ECHILD);
  EXPECT_EQ(varve_sys_reap(0), -EINVAL);
  EXPECT_EQ(varve_sys_reap(-1), -EINVAL);
}

TEST_F(SyscallsTest, QuotaAndLoopQueriesAnswerErrorsAsValues) {
  varve_sys_project_usage usage = {};
  varve_sys_loop_status loop = {};
  uint32_t project_id = 0;
  EXPECT_LT(varve_sys_get_project_usage(at("absent").c_str(), 1, &usage), 0);
  EXPECT_EQ(varve_sys_get_project(at("absent").c_str(), &project_id), -ENOENT);
  EXPECT_EQ(varve_sys_loop_status_get(at("absent").c_str(), &loop), -ENOENT);
  write_file("file");
  EXPECT_EQ(varve_sys_loop_status_get(at("file").c_str(), &loop), -ENOTTY);
}

}  // namespace varve::test
