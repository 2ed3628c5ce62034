#include "tcmu/messages.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "io/bytes.h"
#include "tcmu/protocol.h"

namespace varve::tcmu {

namespace {

constexpr std::string_view kFamilyName = "TCM-USER";
constexpr std::string_view kGroupName = "config";
constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kHeaderBytes = NLMSG_HDRLEN + GENL_HDRLEN;

static_assert(NLMSG_ALIGNTO == NLA_ALIGNTO);
constexpr std::size_t aligned(std::size_t size) {
  return (size + NLA_ALIGNTO - 1) & ~static_cast<std::size_t>(NLA_ALIGNTO - 1);
}

class Message {
 public:
  Message(std::uint16_t family, std::uint8_t command, std::uint8_t version, std::uint16_t flags,
          std::uint32_t sequence)
      : bytes_(kHeaderBytes) {
    nlmsghdr header = {};
    header.nlmsg_type = family;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    header.nlmsg_seq = sequence;
    std::memcpy(bytes_.data(), &header, sizeof header);
    const genlmsghdr generic = {.cmd = command, .version = version, .reserved = 0};
    std::memcpy(bytes_.data() + NLMSG_HDRLEN, &generic, sizeof generic);
  }

  Message& add(std::uint16_t type, std::span<const std::byte> value) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + NLA_HDRLEN + aligned(value.size()));
    const nlattr attribute = {.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + value.size()),
                              .nla_type = type};
    std::memcpy(bytes_.data() + at, &attribute, sizeof attribute);
    std::copy(value.begin(), value.end(),
              bytes_.begin() + static_cast<std::ptrdiff_t>(at + NLA_HDRLEN));
    return *this;
  }

  template <typename Number>
  Message& add_number(std::uint16_t type, Number number) {
    return add(type, std::as_bytes(std::span(&number, 1)));
  }

  [[nodiscard]] Bytes done() {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    io::store(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), length);
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
};

// Calls visit(type, value) for each attribute that is whole.
template <typename Visit>
void each_attribute(std::span<const std::byte> bytes, Visit visit) {
  while (bytes.size() >= NLA_HDRLEN) {
    const auto length = io::load<std::uint16_t>(bytes.data() + offsetof(nlattr, nla_len));
    const auto type = io::load<std::uint16_t>(bytes.data() + offsetof(nlattr, nla_type));
    if (length < NLA_HDRLEN || length > bytes.size()) return;
    visit(type & NLA_TYPE_MASK, bytes.subspan(NLA_HDRLEN, length - NLA_HDRLEN));
    bytes = bytes.subspan(std::min(bytes.size(), aligned(length)));
  }
}

template <typename Number>
std::optional<Number> number_of(std::span<const std::byte> value) {
  if (value.size() < sizeof(Number)) return std::nullopt;
  return io::load<Number>(value.data());
}

// Up to its terminating zero.
std::string text_of(std::span<const std::byte> value) {
  const std::string_view all(reinterpret_cast<const char*>(value.data()), value.size());
  return std::string(all.substr(0, all.find('\0')));
}

std::optional<std::uint32_t> group_of(std::span<const std::byte> groups) {
  std::optional<std::uint32_t> found;
  each_attribute(groups, [&](int /*number*/, std::span<const std::byte> group) {
    std::string name;
    std::optional<std::uint32_t> id;
    each_attribute(group, [&](int type, std::span<const std::byte> value) {
      if (type == CTRL_ATTR_MCAST_GRP_NAME) name = text_of(value);
      if (type == CTRL_ATTR_MCAST_GRP_ID) id = number_of<std::uint32_t>(value);
    });
    if (name == kGroupName && id) found = id;
  });
  return found;
}

std::optional<Family> family_of(std::span<const std::byte> attributes) {
  std::string name;
  std::optional<std::uint16_t> id;
  std::optional<std::uint32_t> group;
  each_attribute(attributes, [&](int type, std::span<const std::byte> value) {
    if (type == CTRL_ATTR_FAMILY_NAME) name = text_of(value);
    if (type == CTRL_ATTR_FAMILY_ID) id = number_of<std::uint16_t>(value);
    if (type == CTRL_ATTR_MCAST_GROUPS) group = group_of(value);
  });
  if (name != kFamilyName || !id || *id < NLMSG_MIN_TYPE || !group || *group == 0) {
    return std::nullopt;
  }
  return Family{.id = *id, .group = *group};
}

std::optional<DeviceMessage> device_message_of(const genlmsghdr& generic,
                                               std::span<const std::byte> attributes) {
  const auto command = static_cast<NetlinkCommand>(generic.cmd);
  if (command < NetlinkCommand::kAdded || command > NetlinkCommand::kReconfigured) {
    return std::nullopt;
  }
  DeviceMessage message;
  message.kind = static_cast<DeviceMessage::Kind>(command);
  std::optional<std::uint32_t> minor;
  each_attribute(attributes, [&](int type, std::span<const std::byte> value) {
    if (type == kDeviceAttribute) message.device = text_of(value);
    if (type == kMinorAttribute) minor = number_of<std::uint32_t>(value);
    if (type == kDeviceIdAttribute) message.device_id = number_of<std::uint32_t>(value);
  });
  if (!minor || message.device.empty()) return std::nullopt;
  message.minor = *minor;
  return message;
}

NetlinkCommand answering_command(DeviceMessage::Kind kind) {
  switch (kind) {
    case DeviceMessage::Kind::kAdded: return NetlinkCommand::kAddedDone;
    case DeviceMessage::Kind::kRemoved: return NetlinkCommand::kRemovedDone;
    case DeviceMessage::Kind::kReconfigured: break;
  }
  return NetlinkCommand::kReconfiguredDone;
}

Message message_to(const Family& family, NetlinkCommand command, std::uint32_t sequence) {
  return {family.id, static_cast<std::uint8_t>(command), kVersion, NLM_F_ACK, sequence};
}

}  // namespace

Bytes family_request(std::uint32_t sequence) {
  const std::string name = std::string(kFamilyName) + '\0';
  return Message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, NLM_F_ACK, sequence)
      .add(CTRL_ATTR_FAMILY_NAME, std::as_bytes(std::span(name)))
      .done();
}

Bytes features_request(const Family& family, std::uint32_t sequence) {
  return message_to(family, NetlinkCommand::kSetFeatures, sequence)
      .add_number(kAnswersAttribute, std::uint8_t{1})
      .done();
}

Bytes answer_to(const Family& family, const DeviceMessage& message, std::int32_t status,
                std::uint32_t sequence) {
  return message_to(family, answering_command(message.kind), sequence)
      .add_number(kStatusAttribute, status)
      .add_number(kDeviceIdAttribute, message.device_id.value_or(0))
      .done();
}

Datagram parse_datagram(std::span<const std::byte> bytes,
                        std::optional<std::uint16_t> family_id) {
  Datagram datagram;
  while (bytes.size() >= NLMSG_HDRLEN) {
    nlmsghdr header = {};
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > bytes.size()) break;
    const auto body = bytes.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    bytes = bytes.subspan(std::min(bytes.size(), aligned(header.nlmsg_len)));
    if (header.nlmsg_type == NLMSG_ERROR) {
      if (const auto error = number_of<std::uint32_t>(body)) {
        datagram.acknowledgements.push_back(
            {.sequence = header.nlmsg_seq, .error = static_cast<std::int32_t>(*error)});
      }
      continue;
    }
    if (body.size() < GENL_HDRLEN) continue;
    genlmsghdr generic = {};
    std::memcpy(&generic, body.data(), sizeof generic);
    const auto attributes = body.subspan(GENL_HDRLEN);
    if (header.nlmsg_type == GENL_ID_CTRL && generic.cmd == CTRL_CMD_NEWFAMILY) {
      if (const auto family = family_of(attributes)) datagram.family = family;
    } else if (family_id && header.nlmsg_type == *family_id) {
      if (auto message = device_message_of(generic, attributes)) {
        datagram.devices.push_back(std::move(*message));
      }
    }
  }
  return datagram;
}

}  // namespace varve::tcmu
