// What the records of a pax header say, checked.
#pragma once

#include "apply/inode.h"
#include "tar/pax_records.h"

namespace varve::apply {

using tar::PaxRecord;

// Numbers of records. Throw ApplyError that names the key.
std::uint64_t pax_number(const PaxRecord& record);
Timestamp pax_time(const PaxRecord& record);

}  // namespace varve::apply
