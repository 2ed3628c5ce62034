#include "helper/failure.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

namespace varve {

namespace {

// The length of the valid UTF-8 sequence at `index`, or 0.
size_t sequence_length(const std::string& bytes, size_t index) {
  const auto byte_at = [&](size_t at) {
    return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U;
  };
  const unsigned first = byte_at(index);
  if (first < 0x80) return 1;
  size_t length = 0;
  uint32_t code = 0;
  uint32_t smallest = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2, code = first & 0x1F, smallest = 0x80;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3, code = first & 0x0F, smallest = 0x800;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4, code = first & 0x07, smallest = 0x10000;
  } else {
    return 0;
  }
  for (size_t offset = 1; offset < length; ++offset) {
    const unsigned next = byte_at(index + offset);
    if ((next & 0xC0) != 0x80) return 0;
    code = (code << 6) | (next & 0x3F);
  }
  const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < smallest || code > 0x10FFFF || is_surrogate ? 0 : length;
}

}  // namespace

std::string printable(const std::string& bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t index = 0; index < bytes.size();) {
    const size_t length = sequence_length(bytes, index);
    if (length > 0) {
      text.append(bytes, index, length);
      index += length;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02X",
                    static_cast<unsigned>(static_cast<unsigned char>(bytes[index])));
      text += escaped;
      index += 1;
    }
  }
  return text;
}

std::string error_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name != nullptr ? name : "E" + std::to_string(error);
}

Failure::Failure(int error_number, std::string failed_step, std::string failed_path,
                 std::string explanation)
    : error(error_number), step(std::move(failed_step)), path(std::move(failed_path)) {
  message = step;
  if (!path.empty()) message += " " + path;
  message += ": ";
  if (!explanation.empty()) {
    message += explanation;
  } else {
    const char* description = ::strerrordesc_np(error);
    message += description != nullptr ? description : error_name(error);
  }
}

}  // namespace varve
