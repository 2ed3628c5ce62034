// What a data plane and its holder say to each other: packets on a unix socket, each a kind, a short
// text, and descriptors beside it. Bytes in, checked messages out.
//
// A worker says hello, gets an item for each thing that is held and then the end; after that it
// parks, replaces and drops things by name, and each of these is answered. Whoever says status
// instead is told how much is held, and for whom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"

namespace varve::holder {

inline constexpr std::size_t kTextBytesMax = 1024;
// Of one thing that is held.
inline constexpr std::size_t kDescriptorsMax = 4;

enum class Kind : std::uint16_t {
  // Of a worker.
  kHello = 1,
  kPark = 2,  // text: the name; with descriptors; replaces what has that name
  kDrop = 3,  // text: the name
  // Of anyone.
  kStatus = 4,
  // Of the holder.
  kDone = 64,
  kRefused = 65,  // text: why
  kItem = 66,     // text: the name; with descriptors
  kEnd = 67,
};

struct Message {
  Kind kind = Kind::kDone;
  std::string text{};
  std::vector<UniqueFd> descriptors{};
};

// 0 or a negative errno. Blocks as the socket does. The descriptors stay the caller's.
[[nodiscard]] int send_message(int socket, Kind kind, const std::string& text,
                               std::span<const int> descriptors = {});

// 0 or a negative errno: -EPIPE where the other side has ended, -EPROTO for bytes that are no
// message.
[[nodiscard]] int receive_message(int socket, Message& message);

// Things whose names begin so serve others: alone they keep no holder from ending.
inline constexpr const char* kServingPrefix = "serving/";

// Letters, digits and . _ : / -, at most 200: names stand in logs and lists.
[[nodiscard]] bool is_name(const std::string& text) noexcept;

}  // namespace varve::holder
