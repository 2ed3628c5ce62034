#include "bd/request.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "bd/json.h"
#include "lsmt/header.h"

namespace varve::bd {

namespace {

// The largest number that every JSON reader keeps exactly.
constexpr std::uint64_t kIdMax = (std::uint64_t{1} << 53) - 1;

[[noreturn]] void refuse(const char* code, const std::string& text) {
  throw RequestError(code, text);
}

// Text of a client in a message: short, and without what could pass for something else.
std::string shown(const std::string& text) {
  constexpr std::size_t kShownMax = 64;
  const bool is_long = text.size() > kShownMax;
  return Json(is_long ? text.substr(0, kShownMax) : text)
             .dump(-1, ' ', true, Json::error_handler_t::replace) +
         (is_long ? "..." : "");
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// The object of a line, in which no key comes twice.
Json parse_object(std::string_view line) {
  std::set<std::string> keys;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1) {
      std::string key = value.get<std::string>();
      if (!keys.insert(key).second && twice.empty()) twice = std::move(key);
    }
    return true;
  };
  Json object;
  try {
    object = Json::parse(line, watch);
  } catch (const Json::parse_error& error) {
    refuse("bad-json", "the line is no JSON, or not in UTF-8: at byte " +
                           std::to_string(error.byte) + " of the line");
  } catch (const Json::out_of_range&) {
    refuse("bad-json", "the line holds a number that is too large");
  }
  if (!object.is_object()) {
    refuse("bad-json", std::string("a request is an object, not ") + object.type_name());
  }
  if (!twice.empty()) refuse("bad-json", "the field " + shown(twice) + " is there twice");
  return object;
}

// The fields of one request: each is taken once, and what is left in the end is unknown.
class Fields {
 public:
  explicit Fields(Json object) : object_(std::move(object)) {}

  void call(std::string operation) { operation_ = std::move(operation); }

  [[nodiscard]] std::optional<std::string> text(const char* name) {
    const std::optional<Json> value = take(name);
    if (!value) return std::nullopt;
    if (!value->is_string()) wrong_type(name, "a string", *value);
    std::string text = value->get<std::string>();
    if (text.find('\0') != std::string::npos) {
      refuse("invalid-value", std::string(name) + " holds a NUL character");
    }
    return text;
  }

  [[nodiscard]] std::string needed_text(const char* name) {
    std::optional<std::string> value = text(name);
    if (!value) missing(name);
    return *std::move(value);
  }

  [[nodiscard]] bool flag(const char* name) {
    const std::optional<Json> value = take(name);
    if (!value) return false;
    if (!value->is_boolean()) wrong_type(name, "true or false", *value);
    return value->get<bool>();
  }

  [[nodiscard]] std::optional<std::uint64_t> number(const char* name, std::uint64_t min,
                                                    std::uint64_t max) {
    const std::optional<Json> value = take(name);
    if (!value) return std::nullopt;
    if (!value->is_number_integer()) wrong_type(name, "a whole number", *value);
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < min ||
        value->get<std::uint64_t>() > max) {
      refuse("invalid-value", std::string(name) + " must be from " + std::to_string(min) + " to " +
                                  std::to_string(max) + ", not " + value->dump());
    }
    return value->get<std::uint64_t>();
  }

  [[nodiscard]] std::string path(const char* name) {
    std::string value = needed_text(name);
    if (value.empty() || value.front() != '/') {
      refuse("invalid-value", std::string(name) + " must be an absolute path, not " + shown(value));
    }
    if (value.size() > kPathBytesMax) {
      refuse("invalid-value", std::string(name) + " has " + std::to_string(value.size()) +
                                  " bytes; a path has at most " + std::to_string(kPathBytesMax));
    }
    return value;
  }

  [[nodiscard]] std::optional<std::string> device_name() {
    std::optional<std::string> value = text("device");
    if (value) check_device_name(*value);
    return value;
  }

  [[nodiscard]] std::string needed_device_name() {
    std::optional<std::string> value = device_name();
    if (!value) missing("device");
    return *std::move(value);
  }

  [[nodiscard]] std::chrono::milliseconds time(const char* name, std::uint64_t min,
                                               std::chrono::milliseconds max,
                                               std::chrono::milliseconds otherwise) {
    const auto value = number(name, min, static_cast<std::uint64_t>(max.count()));
    return value ? std::chrono::milliseconds(*value) : otherwise;
  }

  template <typename Value>
  [[nodiscard]] Value choice(
      const char* name, std::initializer_list<std::pair<const char*, Value>> choices,
      Value otherwise) {
    const std::optional<std::string> value = text(name);
    if (!value) return otherwise;
    std::vector<std::string> known;
    for (const auto& [label, meaning] : choices) {
      if (*value == label) return meaning;
      known.emplace_back(label);
    }
    refuse("invalid-value",
           std::string(name) + " is one of " + joined(known) + ", not " + shown(*value));
  }

  [[nodiscard]] std::string uuid(const char* name) {
    const std::optional<std::string> value = text(name);
    if (!value || value->empty()) return {};
    const std::optional<lsmt::Uuid> parsed = lsmt::parse_uuid(*value);
    if (!parsed) refuse("invalid-value", std::string(name) + " is no uuid: " + shown(*value));
    return *parsed;
  }

  void finish() const {
    if (object_.empty()) return;
    refuse("unknown-field", operation_ + " has no field " + shown(object_.begin().key()) +
                                "; it has " + joined(taken_));
  }

  [[noreturn]] void missing(const std::string& name) const {
    refuse("missing-field", operation_ + " needs the field " + name);
  }

 private:
  std::optional<Json> take(const char* name) {
    taken_.emplace_back(name);
    const auto found = object_.find(name);
    if (found == object_.end()) return std::nullopt;
    Json value = std::move(*found);
    object_.erase(found);
    return value;
  }

  [[noreturn]] static void wrong_type(const std::string& name, const char* wanted,
                                      const Json& value) {
    const std::string found = value.is_number() ? value.dump() : value.type_name();
    refuse("wrong-type", name + " must be " + wanted + ", not " + found);
  }

  static void check_device_name(const std::string& name) {
    const auto is_letter_or_digit = [](char one) {
      return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9');
    };
    const bool is_sound =
        !name.empty() && name.size() <= kDeviceNameBytesMax && is_letter_or_digit(name.front()) &&
        std::all_of(name.begin(), name.end(), [&](char one) {
          return is_letter_or_digit(one) || one == '.' || one == '_' || one == ':' || one == '-';
        });
    if (!is_sound) {
      refuse("invalid-value", "device must be 1 to " + std::to_string(kDeviceNameBytesMax) +
                                  " letters, digits and . _ : -, the first a letter or a digit, "
                                  "not " + shown(name));
    }
  }

  Json object_;
  std::string operation_ = "a request";
  std::vector<std::string> taken_;
};

Operation parse_open(Fields& fields) {
  OpenRequest request;
  request.config = fields.path("config");
  request.device = fields.device_name().value_or("");
  request.is_read_only = fields.flag("readOnly");
  request.deadline = fields.time("deadlineMs", 1, kDeadlineMax, kOpenDeadline);
  request.transport_name = fields.choice<const char*>(
      "transport", {{"fuse", "fuse"}, {"ublk", "ublk"}}, "");
  return request;
}

Operation parse_close(Fields& fields) {
  using transport::CloseMode;
  CloseRequest request;
  request.device = fields.needed_device_name();
  request.mode = fields.choice<CloseMode>("mode",
                                          {{"if-unused", CloseMode::kIfUnused},
                                           {"detach", CloseMode::kDetach},
                                           {"abort", CloseMode::kAbort}},
                                          CloseMode::kIfUnused);
  request.patience = fields.time("patienceMs", 0, kPatienceMax, kClosePatience);
  return request;
}

Operation parse_stats(Fields& fields) { return StatsRequest{fields.device_name().value_or("")}; }

Operation parse_commit(Fields& fields) {
  CommitRequest request;
  request.device = fields.needed_device_name();
  request.output = fields.path("output");
  request.compression = fields.choice<Compression>("algorithm",
                                                   {{"none", Compression::kNone},
                                                    {"lz4", Compression::kLz4},
                                                    {"zstd", Compression::kZstd}},
                                                   Compression::kLz4);
  const std::uint64_t block_size = fields.number("blockSizeBytes", 512, 65536).value_or(4096);
  if ((block_size & (block_size - 1)) != 0) {
    refuse("invalid-value",
           "blockSizeBytes must be a power of two, not " + std::to_string(block_size));
  }
  request.block_size_bytes = static_cast<std::uint32_t>(block_size);
  request.is_tar = fields.flag("tar");
  request.user_tag = fields.text("userTag").value_or("");
  if (request.user_tag.size() > lsmt::kUserTagMax) {
    refuse("invalid-value",
           "userTag has at most " + std::to_string(lsmt::kUserTagMax) + " bytes");
  }
  request.uuid = fields.uuid("uuid");
  request.parent_uuid = fields.uuid("parentUuid");
  request.deadline = fields.time("deadlineMs", 1, kDeadlineMax, kWorkDeadline);
  return request;
}

Operation parse_seal(Fields& fields) {
  SealRequest request;
  request.device = fields.needed_device_name();
  request.deadline = fields.time("deadlineMs", 1, kDeadlineMax, kWorkDeadline);
  return request;
}

Operation parse_resize(Fields& fields) {
  constexpr std::uint64_t kSectorBytes = 512;
  ResizeRequest request;
  request.device = fields.needed_device_name();
  constexpr std::uint64_t kSizeMax = std::numeric_limits<std::int64_t>::max();
  const auto size = fields.number("sizeBytes", kSectorBytes, kSizeMax);
  if (!size) fields.missing("sizeBytes");
  if (*size % kSectorBytes != 0) {
    refuse("invalid-value", "sizeBytes must be a multiple of 512, not " + std::to_string(*size));
  }
  request.size_bytes = *size;
  request.deadline = fields.time("deadlineMs", 1, kDeadlineMax, kWorkDeadline);
  return request;
}

struct Known {
  const char* name;
  Operation (*parse)(Fields& fields);
};

constexpr std::array kOperations = {
    Known{"open", parse_open},
    Known{"close", parse_close},
    Known{"list", [](Fields&) -> Operation { return ListRequest{}; }},
    Known{"stats", parse_stats},
    Known{"metrics", [](Fields&) -> Operation { return MetricsRequest{}; }},
    Known{"commit", parse_commit},
    Known{"seal", parse_seal},
    Known{"resize", parse_resize},
    Known{"events", [](Fields&) -> Operation { return EventsRequest{}; }},
};

const Known& find_operation(const std::string& name) {
  std::vector<std::string> known;
  for (const Known& one : kOperations) {
    if (name == one.name) return one;
    known.emplace_back(one.name);
  }
  refuse("unknown-operation",
         "there is no operation " + shown(name) + "; there are " + joined(known));
}

}  // namespace

Request parse_request(std::string_view line, std::optional<std::uint64_t>& id) {
  Fields fields(parse_object(line));
  id = fields.number("id", 0, kIdMax);
  if (!id) fields.missing("id");
  const auto version = fields.number("version", 0, kIdMax);
  if (!version) fields.missing("version");
  if (*version != kProtocolVersion) {
    refuse("unsupported-version", "version " + std::to_string(*version) +
                                      " of the protocol is not spoken here, only version " +
                                      std::to_string(kProtocolVersion));
  }
  const std::string name = fields.needed_text("operation");
  const Known& known = find_operation(name);
  fields.call(name);
  Request request{*id, known.parse(fields)};
  fields.finish();
  return request;
}

}  // namespace varve::bd
