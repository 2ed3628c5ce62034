// Messages of generic netlink, made and read.
#include "tcmu/messages.h"

#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cstring>
#include <random>

#include "tcmu/protocol.h"

namespace varve::test {

using tcmu::Bytes;
using tcmu::DeviceMessage;

constexpr tcmu::Family kFamily{.id = 0x21, .group = 7};

// As the kernel makes them.
class NetlinkText {
 public:
  NetlinkText(std::uint16_t type, std::uint8_t command) : bytes_(NLMSG_HDRLEN + GENL_HDRLEN) {
    nlmsghdr header = {};
    header.nlmsg_type = type;
    std::memcpy(bytes_.data(), &header, sizeof header);
    const genlmsghdr generic = {.cmd = command, .version = 2, .reserved = 0};
    std::memcpy(bytes_.data() + NLMSG_HDRLEN, &generic, sizeof generic);
  }
  NetlinkText& add(std::uint16_t type, const void* value, std::size_t size) {
    const nlattr attribute = {.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + size),
                              .nla_type = type};
    const std::size_t at = bytes_.size();
    bytes_.resize(at + NLA_HDRLEN + NLA_ALIGN(size));
    std::memcpy(&bytes_[at], &attribute, sizeof attribute);
    std::memcpy(&bytes_[at + NLA_HDRLEN], value, size);
    return *this;
  }
  NetlinkText& add_text(std::uint16_t type, const char* text) {
    return add(type, text, std::strlen(text) + 1);
  }
  template <typename Number>
  NetlinkText& add_number(std::uint16_t type, Number number) {
    return add(type, &number, sizeof number);
  }
  [[nodiscard]] Bytes attributes() const {
    return {bytes_.begin() + NLMSG_HDRLEN + GENL_HDRLEN, bytes_.end()};
  }
  [[nodiscard]] Bytes done() {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof length);
    return bytes_;
  }

 private:
  Bytes bytes_;
};

Bytes added_message() {
  return NetlinkText(kFamily.id, 1)
      .add_text(tcmu::kDeviceAttribute, "tcm-user/1/d/overlaybd//a")
      .add_number(tcmu::kMinorAttribute, std::uint32_t{3})
      .add_number(tcmu::kDeviceIdAttribute, std::uint32_t{9})
      .done();
}

TEST(TcmuMessagesTest, ReadsTheFamily) {
  const Bytes group = NetlinkText(0, 0)
                          .add_text(CTRL_ATTR_MCAST_GRP_NAME, "config")
                          .add_number(CTRL_ATTR_MCAST_GRP_ID, std::uint32_t{7})
                          .attributes();
  const Bytes other = NetlinkText(0, 0)
                          .add_text(CTRL_ATTR_MCAST_GRP_NAME, "other")
                          .add_number(CTRL_ATTR_MCAST_GRP_ID, std::uint32_t{8})
                          .attributes();
  const Bytes groups = NetlinkText(0, 0)
                           .add(1, other.data(), other.size())
                           .add(2 | NLA_F_NESTED, group.data(), group.size())
                           .attributes();
  const Bytes bytes = NetlinkText(GENL_ID_CTRL, CTRL_CMD_NEWFAMILY)
                          .add_text(CTRL_ATTR_FAMILY_NAME, "TCM-USER")
                          .add_number(CTRL_ATTR_FAMILY_ID, kFamily.id)
                          .add(CTRL_ATTR_MCAST_GROUPS, groups.data(), groups.size())
                          .done();
  const auto family = tcmu::parse_datagram(bytes, std::nullopt).family;
  ASSERT_TRUE(family);
  EXPECT_EQ(family->id, kFamily.id);
  EXPECT_EQ(family->group, kFamily.group);
  // Without its group nothing could be heard.
  const Bytes silent = NetlinkText(GENL_ID_CTRL, CTRL_CMD_NEWFAMILY)
                           .add_text(CTRL_ATTR_FAMILY_NAME, "TCM-USER")
                           .add_number(CTRL_ATTR_FAMILY_ID, kFamily.id)
                           .done();
  EXPECT_FALSE(tcmu::parse_datagram(silent, std::nullopt).family);
}

TEST(TcmuMessagesTest, ReadsMessagesAboutDevices) {
  Bytes bytes = added_message();
  const Bytes removed = NetlinkText(kFamily.id, 2)
                            .add_number(tcmu::kMinorAttribute, std::uint32_t{4})
                            .add_text(tcmu::kDeviceAttribute, "tcm-user/1/e/rbd/x")
                            .done();
  bytes.insert(bytes.end(), removed.begin(), removed.end());
  const auto devices = tcmu::parse_datagram(bytes, kFamily.id).devices;
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].kind, DeviceMessage::Kind::kAdded);
  EXPECT_EQ(devices[0].minor, 3U);
  EXPECT_EQ(devices[0].device_id, 9U);
  EXPECT_EQ(devices[0].device, "tcm-user/1/d/overlaybd//a");
  EXPECT_EQ(devices[1].kind, DeviceMessage::Kind::kRemoved);
  EXPECT_FALSE(devices[1].device_id);
  EXPECT_TRUE(tcmu::parse_datagram(bytes, 0x22).devices.empty());
}

TEST(TcmuMessagesTest, LeavesOutWhatIsNotWhole) {
  const auto count = [](const Bytes& bytes) {
    return tcmu::parse_datagram(bytes, kFamily.id).devices.size();
  };
  const Bytes whole = added_message();
  ASSERT_EQ(count(whole), 1U);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(count({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), 0U);
  }
  const auto without = NetlinkText(kFamily.id, 1).add_text(tcmu::kDeviceAttribute, "x").done();
  EXPECT_EQ(count(without), 0U);
  const auto short_number = NetlinkText(kFamily.id, 1)
                                .add_text(tcmu::kDeviceAttribute, "x")
                                .add_number(tcmu::kMinorAttribute, std::uint16_t{1})
                                .done();
  EXPECT_EQ(count(short_number), 0U);
  // Answers are what we send, not what we get.
  EXPECT_EQ(count(NetlinkText(kFamily.id, 4)
                      .add_text(tcmu::kDeviceAttribute, "x")
                      .add_number(tcmu::kMinorAttribute, std::uint32_t{1})
                      .done()),
            0U);
}

TEST(TcmuMessagesTest, AnswersNameTheDeviceAndHowItWent) {
  DeviceMessage message;
  message.kind = DeviceMessage::Kind::kRemoved;
  message.device_id = 9;
  const Bytes bytes = tcmu::answer_to(kFamily, message, -ENOENT, 77);
  nlmsghdr header = {};
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.nlmsg_len, bytes.size());
  EXPECT_EQ(header.nlmsg_type, kFamily.id);
  EXPECT_EQ(header.nlmsg_seq, 77U);
  EXPECT_EQ(bytes[NLMSG_HDRLEN], std::byte{5});
  const std::byte* status = &bytes[NLMSG_HDRLEN + GENL_HDRLEN];
  const auto number = [](const std::byte* at) {
    std::int32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  EXPECT_EQ(status[2], std::byte{tcmu::kStatusAttribute});
  EXPECT_EQ(number(status + NLA_HDRLEN), -ENOENT);
  EXPECT_EQ(status[10], std::byte{tcmu::kDeviceIdAttribute});
  EXPECT_EQ(number(status + 12), 9);
}

TEST(TcmuMessagesTest, ReadsAcknowledgements) {
  nlmsghdr header = {};
  header.nlmsg_len = NLMSG_HDRLEN + sizeof(nlmsgerr);
  header.nlmsg_type = NLMSG_ERROR;
  header.nlmsg_seq = 4;
  nlmsgerr error = {};
  error.error = -EPERM;
  Bytes bytes(header.nlmsg_len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + NLMSG_HDRLEN, &error, sizeof error);
  const auto found = tcmu::parse_datagram(bytes, std::nullopt).acknowledgements;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].sequence, 4U);
  EXPECT_EQ(found[0].error, -EPERM);
}

TEST(TcmuMessagesTest, AnyBytesAreReadToTheirEnd) {
  std::mt19937 random(5);
  for (int turn = 0; turn < 20'000; ++turn) {
    Bytes bytes = added_message();
    for (unsigned change = random() % 8; change > 0; --change) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    static_cast<void>(tcmu::parse_datagram(bytes, kFamily.id));
  }
}

}  // namespace varve::test
