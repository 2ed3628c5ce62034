// What a successor makes of the memory that a predecessor died over: a request that was only taken is
// carried out, one that was carried out is answered again and nothing else, and those of other
// connections are left alone.
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <set>

#include "test/transport/memory_device.h"
#include "test/transport/transport_test_case.h"
#include "transport/fuse_connection.h"
#include "transport/request_buffer.h"

namespace varve::test {

namespace {

using transport::FuseConnection;
using transport::RequestBuffer;

constexpr std::uint64_t kKey = 7;

// As the kernel sends it.
std::size_t put_write(const RequestBuffer& buffer, std::uint64_t unique, std::byte value) {
  struct {
    fuse_in_header header;
    fuse_write_in write;
  } head = {};
  head.header.len = sizeof head + kBlock;
  head.header.opcode = FUSE_WRITE;
  head.header.unique = unique;
  head.header.nodeid = FUSE_ROOT_ID;
  head.write.size = kBlock;
  std::memcpy(buffer.request().data(), &head, sizeof head);
  std::fill_n(buffer.payload().begin(), kBlock, value);
  return head.header.len;
}

class LeftRequestsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends = {};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    kernel_.reset(ends[1]);
    connection_ = std::make_unique<FuseConnection>(UniqueFd(ends[0]), content_,
                                                   FuseConnection::Options{.key = kKey});
  }

  // The `unique` and the error of the reply that the kernel got; 0 and 0 for none.
  std::pair<std::uint64_t, int> reply() {
    struct {
      fuse_out_header header;
      fuse_write_out write;
    } out = {};
    if (::recv(kernel_.get(), &out, sizeof out, 0) < 0) return {0, 0};
    return {out.header.unique, out.header.error};
  }

  void overwrite(std::byte value) {
    const std::vector<std::byte> bytes(kBlock, value);
    EXPECT_EQ(content_->write(bytes, 0), 0);
  }

  std::shared_ptr<MemoryDevice> content_ = std::make_shared<MemoryDevice>(kMebibyte);
  UniqueFd kernel_;
  std::unique_ptr<FuseConnection> connection_;
  RequestBuffer buffer_;
};

}  // namespace

TEST_F(LeftRequestsTest, OneThatWasTakenIsCarriedOutAndAnswered) {
  buffer_.begin_reading(kKey);
  buffer_.taken(put_write(buffer_, 40, std::byte{1}));
  connection_->answer_left(buffer_);
  EXPECT_EQ(content_->content()[0], std::byte{1});
  EXPECT_EQ(reply(), std::make_pair(std::uint64_t{40}, 0));
  connection_->answer_left(buffer_);
  EXPECT_EQ(reply().first, 0U) << "once";
}

TEST_F(LeftRequestsTest, OneThatTheKernelHadPutThereIsAsGoodAsTaken) {
  buffer_.begin_reading(kKey);
  connection_->answer_left(buffer_);
  EXPECT_EQ(reply().first, 0U) << "none had come";
  buffer_.begin_reading(kKey);
  put_write(buffer_, 41, std::byte{2});
  connection_->answer_left(buffer_);
  EXPECT_EQ(content_->content()[0], std::byte{2});
  EXPECT_EQ(reply().first, 41U);
}

TEST_F(LeftRequestsTest, OneThatWasCarriedOutIsOnlyAnswered) {
  buffer_.begin_reading(kKey);
  const std::size_t bytes = put_write(buffer_, 42, std::byte{3});
  buffer_.taken(bytes);
  // As far as the predecessor came, to its death before the answer.
  transport::FuseProtocol protocol(*content_, false);
  buffer_.executed(protocol.answer(buffer_, bytes).size());
  // A later write has landed in between.
  overwrite(std::byte{4});
  connection_->answer_left(buffer_);
  EXPECT_EQ(content_->content()[0], std::byte{4}) << "the old write has not come back";
  EXPECT_EQ(reply(), std::make_pair(std::uint64_t{42}, 0));
}

TEST_F(LeftRequestsTest, ThoseOfOthersAreLeftAlone) {
  buffer_.begin_reading(kKey + 1);
  buffer_.taken(put_write(buffer_, 43, std::byte{5}));
  connection_->answer_left(buffer_);
  EXPECT_EQ(content_->content()[0], std::byte{0});
  EXPECT_EQ(reply().first, 0U);
}

TEST_F(LeftRequestsTest, AnAnswerLeavesTheRequestAsItWas) {
  const std::size_t bytes = put_write(buffer_, 44, std::byte{6});
  transport::FuseProtocol protocol(*content_, false);
  EXPECT_FALSE(protocol.answer(buffer_, bytes).empty());
  overwrite(std::byte{0});
  EXPECT_FALSE(protocol.answer(buffer_, bytes).empty());
  EXPECT_EQ(content_->content()[0], std::byte{6}) << "a death in between must not spoil it";
  EXPECT_EQ(content_->content()[kBlock - 1], std::byte{6});
}

// A holder that only remembers.
class RememberedParking final : public holder::Parking {
 public:
  void park(const std::string& name, std::span<const int>) override { names.insert(name); }
  void drop(const std::string& name) noexcept override { names.erase(name); }
  void leave(const std::string&) noexcept override {}
  [[nodiscard]] int process() const noexcept override { return 0; }
  std::set<std::string> names;
};

TEST(ParkedRequestsTest, AreDroppedWithTheirMemoryUnlessTheyAreLeft) {
  RememberedParking parking;
  { const RequestBuffer dropped(holder::ParkedPlace(&parking, "dropped")); }
  {
    RequestBuffer left(holder::ParkedPlace(&parking, "left"));
    left.leave();
  }
  EXPECT_EQ(parking.names, std::set<std::string>{"left"});
}

TEST_F(LeftRequestsTest, MemoryOfAnotherSizeIsRefused) {
  UniqueFd file(::memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  RememberedParking parking;
  parking.park("other", {});
  EXPECT_THROW(RequestBuffer(holder::ParkedPlace(&parking, "other"), std::move(file)),
               std::system_error);
  EXPECT_TRUE(parking.names.contains("other")) << "it is left to whoever can read it";
}

}  // namespace varve::test
