#include "holder/messages.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace varve::holder {

namespace {

constexpr std::uint32_t kMagic = 0x31484256;  // "VBH1": the version is part of it
constexpr std::size_t kNameBytesMax = 200;

struct Head {
  std::uint32_t magic = kMagic;
  std::uint16_t kind = 0;
  std::uint16_t text_bytes = 0;
};

// Room for the descriptors, aligned as the kernel wants it.
struct Control {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kDescriptorsMax * sizeof(int))> bytes{};
};

bool is_kind(std::uint16_t number) {
  return (number >= static_cast<std::uint16_t>(Kind::kHello) &&
          number <= static_cast<std::uint16_t>(Kind::kStatus)) ||
         (number >= static_cast<std::uint16_t>(Kind::kDone) &&
          number <= static_cast<std::uint16_t>(Kind::kEnd));
}

// All that came, so that none is leaked whatever else is wrong.
std::vector<UniqueFd> descriptors_of(msghdr& header) {
  std::vector<UniqueFd> descriptors;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t at = 0; at < count; ++at) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + at * sizeof number, sizeof number);
      descriptors.emplace_back(number);
    }
  }
  return descriptors;
}

}  // namespace

int send_message(int socket, Kind kind, const std::string& text, std::span<const int> descriptors) {
  if (text.size() > kTextBytesMax || descriptors.size() > kDescriptorsMax) return -E2BIG;
  Head head{.kind = static_cast<std::uint16_t>(kind),
            .text_bytes = static_cast<std::uint16_t>(text.size())};
  std::array<iovec, 2> parts = {
      {{&head, sizeof head}, {const_cast<char*>(text.data()), text.size()}}};
  msghdr header = {};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  Control control;
  if (!descriptors.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  while (true) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

int receive_message(int socket, Message& message) {
  std::array<std::byte, sizeof(Head) + kTextBytesMax> bytes{};
  iovec part = {bytes.data(), bytes.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  Control control;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  ssize_t length = 0;
  do {
    length = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return -errno;
  message.descriptors = descriptors_of(header);
  if (length == 0) return -EPIPE;
  Head head;
  if (static_cast<std::size_t>(length) < sizeof head) return -EPROTO;
  std::memcpy(&head, bytes.data(), sizeof head);
  // What was cut off would be a descriptor that is missing.
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || head.magic != kMagic ||
      !is_kind(head.kind) || static_cast<std::size_t>(length) != sizeof head + head.text_bytes) {
    return -EPROTO;
  }
  message.kind = static_cast<Kind>(head.kind);
  message.text.assign(reinterpret_cast<const char*>(bytes.data() + sizeof head), head.text_bytes);
  return 0;
}

bool is_name(const std::string& text) noexcept {
  constexpr std::string_view kOthers = "._:/-";
  return !text.empty() && text.size() <= kNameBytesMax &&
         std::all_of(text.begin(), text.end(), [&](char character) {
           return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
                  (character >= '0' && character <= '9') ||
                  kOthers.find(character) != std::string_view::npos;
         });
}

}  // namespace varve::holder
