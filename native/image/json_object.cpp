#include "image/json_object.h"

#include <cerrno>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "image/image_config.h"
#include "io/bytes.h"
#include "io/file.h"

namespace varve::image {

namespace {

using nlohmann::json;

// Configurations have three levels.
constexpr int kDepthMax = 32;
// Longer than any path.
constexpr std::size_t kTextMax = 4096;

const json& empty_object() {
  static const json object = json::object();
  return object;
}

const char* type_of(const json& value) {
  if (value.is_number_float()) return "a number that is not whole or too large";
  switch (value.type()) {
    case json::value_t::string: return "text";
    case json::value_t::boolean: return "true or false";
    case json::value_t::object: return "an object";
    case json::value_t::array: return "an array";
    case json::value_t::null: return "null";
    default: return "a number";
  }
}

// Where the parser stopped, without the library's own words for the kind of error.
std::string parse_error_text(const json::exception& error) {
  const std::string text = error.what();
  const std::size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

// Watches a document while it is parsed.
class Watch {
 public:
  explicit Watch(const std::string& name) : name_(name) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kDepthMax) throw ConfigError(EINVAL, name_ + ": is nested too deeply");
      if (event == Event::object_start) keys_.emplace_back();
    } else if (event == Event::object_end) {
      keys_.pop_back();
    } else if (event == Event::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        throw ConfigError(EINVAL, name_ + ": " + key + ": appears twice in one object");
      }
    }
    return true;
  }

 private:
  const std::string& name_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

json parse_json(std::string_view text, const std::string& name) {
  if (text.size() > kConfigBytesMax) {
    throw ConfigError(EFBIG, name + ": has " + std::to_string(text.size()) +
                                 " bytes, more than a configuration can have");
  }
  Watch watch(name);
  try {
    return json::parse(text, [&watch](int depth, json::parse_event_t event, json& value) {
      return watch(depth, event, value);
    });
  } catch (const json::exception& error) {
    // A number that no double can hold is out of range, not an error of the syntax.
    throw ConfigError(EINVAL, name + ": is not JSON: " + parse_error_text(error));
  }
}

std::string read_text(const std::string& path) {
  try {
    const std::unique_ptr<io::File> file = io::open_file(path);
    if (file->size() > kConfigBytesMax) {
      throw ConfigError(EFBIG, path + ": has " + std::to_string(file->size()) +
                                   " bytes, more than a configuration can have");
    }
    std::string text(file->size(), '\0');
    const int error = file->read(std::as_writable_bytes(std::span(text)), 0);
    if (error != 0) {
      throw ConfigError(-error, path + ": cannot be read: " + io::error_text(-error));
    }
    return text;
  } catch (const ConfigError&) {
    throw;
  } catch (const io::FormatError& error) {
    throw ConfigError(error.error(), error.what());
  }
}

JsonObject::JsonObject(const json& value, const std::string& name, std::string path)
    : value_(value), name_(name), path_(std::move(path)) {
  if (value_.is_object()) return;
  const std::string what = path_.empty() ? "the document" : path_;
  throw ConfigError(EINVAL, name_ + ": " + what + ": must be an object, is " + type_of(value_));
}

std::string JsonObject::name_of(const char* key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void JsonObject::refuse(const char* key, const std::string& why) const {
  throw ConfigError(EINVAL, name_ + ": " + name_of(key) + ": " + why);
}

void JsonObject::refuse_type(const char* key, const char* wanted, const json& found) const {
  refuse(key, std::string("must be ") + wanted + ", is " + type_of(found));
}

const json* JsonObject::find(const char* key) const {
  const auto found = value_.find(key);
  return found == value_.end() ? nullptr : &*found;
}

std::string JsonObject::text(const char* key, const char* fallback) const {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) refuse_type(key, "text", *value);
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > kTextMax) {
    refuse(key, "has " + std::to_string(text.size()) + " bytes, more than " +
                    std::to_string(kTextMax));
  }
  if (text.find('\0') != std::string::npos) refuse(key, "contains a zero byte");
  return text;
}

bool JsonObject::flag(const char* key, bool fallback) const {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse_type(key, "true or false", *value);
  return value->get<bool>();
}

std::uint64_t JsonObject::unsigned64(const char* key, std::uint64_t fallback) const {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) refuse_type(key, "a whole number", *value);
  if (!value->is_number_unsigned()) refuse(key, "must not be negative");
  return value->get<std::uint64_t>();
}

std::uint32_t JsonObject::unsigned32(const char* key, std::uint32_t fallback) const {
  const std::uint64_t value = unsigned64(key, fallback);
  if (value > std::numeric_limits<std::uint32_t>::max()) refuse(key, "is larger than 4294967295");
  return static_cast<std::uint32_t>(value);
}

int JsonObject::integer(const char* key, int fallback) const {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) refuse_type(key, "a whole number", *value);
  const bool is_large = value->is_number_unsigned() &&
                        value->get<std::uint64_t>() > std::numeric_limits<std::int32_t>::max();
  if (is_large || value->get<std::int64_t>() < std::numeric_limits<std::int32_t>::min()) {
    refuse(key, "does not fit into 32 bits");
  }
  return value->get<int>();
}

JsonObject JsonObject::object(const char* key) const {
  const json* value = find(key);
  return {value == nullptr ? empty_object() : *value, name_, name_of(key)};
}

std::size_t JsonObject::array_size(const char* key) const {
  const json* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_array()) refuse_type(key, "an array", *value);
  return value->size();
}

JsonObject JsonObject::entry(const char* key, std::size_t at) const {
  return {find(key)->at(at), name_, name_of(key) + "[" + std::to_string(at) + "]"};
}

}  // namespace varve::image
