// A JSON object that someone else wrote, read key by key: each has the type and the range that it
// must have, or is refused by its name.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace varve::image {

// One document; throws ConfigError for what is no JSON, for a key that appears twice in one object
// (readers differ in which they take), and for documents without measure.
nlohmann::json parse_json(std::string_view text, const std::string& name);
// The text of a file, at most kConfigBytesMax; throws ConfigError.
std::string read_text(const std::string& path);

class JsonObject {
 public:
  // The root of a document; throws ConfigError if it is no object. The document must live on.
  JsonObject(const nlohmann::json& document, const std::string& name)
      : JsonObject(document, name, "") {}

  [[nodiscard]] bool has(const char* key) const { return value_.contains(key); }
  // The full name of a key, such as lowers[2].file.
  [[nodiscard]] std::string name_of(const char* key) const;

  // What the key says, or the default if it is missing. All throw ConfigError.
  [[nodiscard]] std::string text(const char* key, const char* fallback = "") const;
  [[nodiscard]] bool flag(const char* key, bool fallback = false) const;
  [[nodiscard]] std::uint64_t unsigned64(const char* key, std::uint64_t fallback = 0) const;
  [[nodiscard]] std::uint32_t unsigned32(const char* key, std::uint32_t fallback = 0) const;
  [[nodiscard]] int integer(const char* key, int fallback) const;

  // An empty object if the key is missing.
  [[nodiscard]] JsonObject object(const char* key) const;
  [[nodiscard]] std::size_t array_size(const char* key) const;
  // Entry `at` of an array of objects.
  [[nodiscard]] JsonObject entry(const char* key, std::size_t at) const;

  [[noreturn]] void refuse(const char* key, const std::string& why) const;

 private:
  JsonObject(const nlohmann::json& value, const std::string& name, std::string path);
  [[nodiscard]] const nlohmann::json* find(const char* key) const;
  [[noreturn]] void refuse_type(const char* key, const char* wanted,
                                const nlohmann::json& found) const;

  const nlohmann::json& value_;
  const std::string& name_;
  std::string path_;  // empty for the root
};

}  // namespace varve::image
