// Requests of the control protocol (docs/block-daemon.md): a line as bytes in, a checked request
// out. No descriptors, no devices. A request is taken as a whole or refused by name: fields that an
// operation does not have, that are missing, of another type or out of range, or there twice.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

#include "bd/limits.h"
#include "transport/transport.h"

namespace varve::bd {

inline constexpr std::uint64_t kProtocolVersion = 1;

// A request that is refused; `code` is part of the protocol.
class RequestError : public std::runtime_error {
 public:
  RequestError(std::string code, const std::string& text)
      : std::runtime_error(text), code_(std::move(code)) {}
  [[nodiscard]] const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
};

struct OpenRequest {
  std::string config;  // absolute path
  std::string device{};  // empty: the daemon chooses a name
  bool is_read_only = false;
  std::chrono::milliseconds deadline = kOpenDeadline;
  std::string transport_name{};  // empty: the first that can attach devices now
  // Instead of those of the daemon, which clients can name; null: one of these.
  std::shared_ptr<transport::Transport> transport{};
};

struct CloseRequest {
  std::string device;
  transport::CloseMode mode = transport::CloseMode::kIfUnused;
  std::chrono::milliseconds patience = kClosePatience;
};

struct ListRequest {};

struct StatsRequest {
  std::string device;  // empty: all
};

struct MetricsRequest {};

enum class Compression { kNone, kLz4, kZstd };

struct CommitRequest {
  std::string device;
  std::string output;  // absolute path of a file that is not there yet
  Compression compression = Compression::kLz4;
  std::uint32_t block_size_bytes = 4096;
  bool is_tar = false;
  std::string user_tag{};
  std::string uuid{};
  std::string parent_uuid{};
  std::chrono::milliseconds deadline = kWorkDeadline;
};

struct SealRequest {
  std::string device;
  std::chrono::milliseconds deadline = kWorkDeadline;
};

struct ResizeRequest {
  std::string device;
  std::uint64_t size_bytes = 0;
  std::chrono::milliseconds deadline = kWorkDeadline;
};

struct EventsRequest {};

using Operation = std::variant<OpenRequest, CloseRequest, ListRequest, StatsRequest, MetricsRequest,
                               CommitRequest, SealRequest, ResizeRequest, EventsRequest>;

struct Request {
  std::uint64_t id = 0;
  Operation operation;
};

// Throws RequestError. `id` is set as soon as it is known, so that a refusal can name it.
Request parse_request(std::string_view line, std::optional<std::uint64_t>& id);

}  // namespace varve::bd
