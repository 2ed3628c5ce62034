// The descriptor of /dev/fuse may come from another process, which may keep it as well; so may what
// is parked.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "holder/holder_client.h"
#include "syscalls/varve_sys.h"
#include "test/holder/holder_thread.h"
#include "test/transport/transport_test_case.h"
#include "transport/request_buffer.h"

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

// What is parked of a device: a record and a connection that has not ended.
struct ParkedDevice {
  explicit ParkedDevice(const std::string& record) : file(::memfd_create("record", MFD_CLOEXEC)) {
    EXPECT_EQ(::write(file.get(), record.data(), record.size()),
              static_cast<ssize_t>(record.size()));
    int ends[2] = {};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    connection.reset(ends[0]);
    kernel.reset(ends[1]);
  }
  [[nodiscard]] std::array<int, 2> descriptors() const { return {file.get(), connection.get()}; }

  UniqueFd file;
  UniqueFd connection;
  UniqueFd kernel;
};

std::vector<std::string> names_of(const std::vector<holder::ParkedThing>& things) {
  std::vector<std::string> names;
  for (const holder::ParkedThing& thing : things) names.push_back(thing.name);
  std::sort(names.begin(), names.end());
  return names;
}

// Whose devices nobody here can read, such as after going back to an older version.
TEST_F(HandoverTest, WhatAnotherVersionHasLeftStaysWithTheHolder) {
  const auto ignore = [](bool, const std::string&) {};
  HolderThread held(at("h.sock"));
  const ParkedDevice parked(R"({"version":99})");
  const UniqueFd request(::memfd_create("request", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(request.get(), 4096 + transport::RequestBuffer::kPayloadBytes), 0);
  const std::vector<std::string> names = {"device/other", "serving/request/1/0"};
  {
    holder::HolderClient before(at("h.sock"), ignore);
    before.park(names[0], parked.descriptors());
    before.park(names[1], std::array{request.get()});
  }
  held.wait_for("is gone");
  {
    holder::HolderClient reader(at("h.sock"), ignore);
    transport::FuseTransport transport(pool_, {}, &reader);
    const auto survivors = transport.survivors();
    ASSERT_EQ(survivors.size(), 1U);
    EXPECT_EQ(survivors[0]->note(), "") << "so nobody serves it";
  }
  held.wait_for("is gone", 2);
  holder::HolderClient after(at("h.sock"), ignore);
  EXPECT_EQ(names_of(after.take_left()), names);
  for (const std::string& name : names) after.drop(name);
}

}  // namespace varve::test
