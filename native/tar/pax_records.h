// The records of a pax header.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace varve::tar {

struct PaxRecord {
  std::string key;
  std::string value;
};

// In their order; empty if one is not well formed.
[[nodiscard]] std::optional<std::vector<PaxRecord>> parse_pax_records(
    std::span<const std::byte> bytes);

}  // namespace varve::tar
