#include "apply/pax_records.h"

#include <cerrno>
#include <charconv>
#include <string_view>

#include "apply/apply_error.h"

namespace varve::apply {

namespace {

constexpr std::uint32_t kNanosecondsPerSecond = 1'000'000'000;

[[noreturn]] void refuse_value(const PaxRecord& record) {
  throw ApplyError(EINVAL, "its pax record " + quoted(record.key) + " has the value " +
                               quoted(record.value) + ", which is no number that it can have");
}

template <typename Number>
bool parse_whole(std::string_view text, Number& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

}  // namespace

std::uint64_t pax_number(const PaxRecord& record) {
  std::uint64_t number = 0;
  if (!parse_whole(std::string_view(record.value), number)) refuse_value(record);
  return number;
}

// Digits beyond nanoseconds are cut off towards the past, as the kernel's own times are.
Timestamp pax_time(const PaxRecord& record) {
  const std::string_view text = record.value;
  const std::size_t point = std::min(text.find('.'), text.size());
  Timestamp time;
  if (!parse_whole(text.substr(0, point), time.seconds)) refuse_value(record);
  std::uint32_t unit = kNanosecondsPerSecond;
  bool is_more = false;
  for (std::size_t at = point + 1; at < text.size(); ++at) {
    const char digit = text[at];
    if (digit < '0' || digit > '9') refuse_value(record);
    unit /= 10;
    time.nanoseconds += static_cast<std::uint32_t>(digit - '0') * unit;
    is_more = is_more || (unit == 0 && digit != '0');
  }
  if (text.starts_with('-') && (time.nanoseconds > 0 || is_more)) {
    const std::uint32_t whole = time.nanoseconds + (is_more ? 1 : 0);
    if (time.seconds == INT64_MIN) refuse_value(record);
    time.seconds -= 1;
    time.nanoseconds = kNanosecondsPerSecond - whole;
    if (whole == kNanosecondsPerSecond) time.nanoseconds = 0;
  }
  return time;
}

}  // namespace varve::apply
