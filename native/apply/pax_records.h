// The records of a pax header, checked.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apply/inode.h"

namespace varve::apply {

struct PaxRecord {
  std::string key;
  std::string value;
};

// Throws ApplyError for records that are not well formed.
std::vector<PaxRecord> parse_pax_records(std::span<const std::byte> bytes);

// Numbers of records. Throw ApplyError that names the key.
std::uint64_t pax_number(const PaxRecord& record);
Timestamp pax_time(const PaxRecord& record);

}  // namespace varve::apply
