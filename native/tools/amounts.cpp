#include "tools/amounts.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <limits>
#include <stdexcept>

namespace varve::tools {

namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::string_view kSuffixes = "KMGTP";

// What a number stands before: nothing for a suffix that is none.
std::optional<std::uint64_t> unit_of(std::string_view suffix, std::uint64_t plain_unit) {
  if (suffix.empty()) return plain_unit;
  if (suffix == "B") return 1;
  const char letter = suffix[0] == 'k' ? 'K' : suffix[0];
  const std::size_t place = kSuffixes.find(letter);
  if (place == std::string_view::npos) return std::nullopt;
  if (suffix.size() > 1 && suffix.substr(1) != "iB") return std::nullopt;
  return std::uint64_t{1} << 10 * (place + 1);
}

std::string_view without_spaces(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::optional<io::ByteRange> range_of(std::string_view offset, std::string_view length) {
  const std::optional<std::uint64_t> begin = parse_size(offset, 1);
  const std::optional<std::uint64_t> count = parse_size(length, 1);
  if (!begin || !count || *count > kMax - *begin) return std::nullopt;
  return io::ByteRange{*begin, *count};
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text, std::uint64_t plain_unit) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  const std::optional<std::uint64_t> unit = unit_of(suffix, plain_unit);
  if (!unit || (*unit != 0 && number > kMax / *unit)) return std::nullopt;
  return number * *unit;
}

std::optional<io::ByteRange> parse_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return range_of(text.substr(0, colon), text.substr(colon + 1));
}

std::vector<io::ByteRange> parse_range_list(std::string_view text) {
  std::vector<io::ByteRange> ranges;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = without_spaces(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    const std::size_t space = line.find_first_of(" \t");
    const std::string_view rest =
        space == std::string_view::npos ? std::string_view() : line.substr(space);
    const std::optional<io::ByteRange> range =
        range_of(line.substr(0, space), without_spaces(rest));
    if (!range) {
      throw std::runtime_error(
          "line " + std::to_string(number) +
          " is no range (\"offset length\", both in bytes): " + std::string(line.substr(0, 80)));
    }
    ranges.push_back(*range);
  }
  return ranges;
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < kKib) return count_text(bytes, "byte");
  std::size_t place = 0;
  std::uint64_t unit = kKib;
  while (place + 1 < kSuffixes.size() && bytes / unit >= 1024) {
    unit *= 1024;
    ++place;
  }
  std::array<char, 32> number{};
  if (bytes % unit == 0) {
    std::snprintf(number.data(), number.size(), "%llu",
                  static_cast<unsigned long long>(bytes / unit));
  } else {
    std::snprintf(number.data(), number.size(), "%.1f",
                  static_cast<double>(bytes) / static_cast<double>(unit));
  }
  return std::string(number.data()) + " " + kSuffixes[place] + "iB";
}

std::string exact_size_text(std::uint64_t bytes) {
  if (bytes < kKib) return size_text(bytes);
  return size_text(bytes) + " (" + std::to_string(bytes) + " bytes)";
}

std::string count_text(std::uint64_t count, std::string_view what) {
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
  const double share =
      whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", share);
  return text.data();
}

}  // namespace varve::tools
