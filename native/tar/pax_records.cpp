#include "tar/pax_records.h"

#include <charconv>
#include <cstdint>
#include <string_view>

namespace varve::tar {

std::optional<std::vector<PaxRecord>> parse_pax_records(std::span<const std::byte> bytes) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<PaxRecord> records;
  while (!rest.empty()) {
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    // At least the length itself, a space, "=" and the end of the line.
    if (error != std::errc() || length > rest.size() || length < digits + 3) return std::nullopt;
    const std::string_view record = rest.substr(digits, length - digits);
    const std::size_t equals = record.find('=');
    if (record.front() != ' ' || record.back() != '\n' || equals == std::string_view::npos) {
      return std::nullopt;
    }
    records.push_back({std::string(record.substr(1, equals - 1)),
                       std::string(record.substr(equals + 1, record.size() - equals - 2))});
    rest.remove_prefix(length);
  }
  return records;
}

}  // namespace varve::tar
