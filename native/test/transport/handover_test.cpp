// The descriptor of /dev/fuse may come from another process, which may keep it as well.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "syscalls/varve_sys.h"
#include "test/transport/transport_test_case.h"

namespace varve::test {

using HandoverTest = TransportTestCase;

TEST_F(HandoverTest, ServesADescriptorThatAnotherProcessOpenedAndKeeps) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const int sent = varve_sys_send_fd(ends[1], fuse);
    char byte = 0;
    static_cast<void>(::read(ends[1], &byte, 1));  // until the parent closes
    ::_exit(sent == 0 ? 0 : 1);
  }
  theirs.reset();
  transport::FuseTransport handed(
      pool_, [&](const std::string&) { return UniqueFd(varve_sys_receive_fd(ours.get())); });
  const auto content = std::make_shared<MemoryDevice>(kMebibyte);
  const auto device = handed.attach(content, {.name = unique_name()});
  UniqueFd fd = open_device(*device, O_RDWR | O_DIRECT);
  const AlignedBytes bytes(kBlock, std::byte{6});
  EXPECT_EQ(write_device(fd.get(), bytes.span(), 0), 0);
  EXPECT_EQ(content->content()[0], std::byte{6});
  // The other process's descriptor must not keep an aborted connection alive.
  EXPECT_FALSE(device->close(transport::CloseMode::kAbort, 10s).is_gone);
  EXPECT_EQ(read_device(fd.get(), bytes.span(), 0), -EIO);
  fd.reset();
  expect_gone(*device);
  ours.reset();
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(HandoverTest, SaysWhatIsWrongWithADescriptorThatIsNone) {
  transport::FuseTransport handed(
      pool_, [](const std::string&) { return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)); });
  EXPECT_THROW(
      static_cast<void>(handed.attach(std::make_shared<MemoryDevice>(kMebibyte),
                                      {.name = unique_name()})),
      transport::TransportError);
}

}  // namespace varve::test
