// Every rule of a layer's header, trailer and index, with the place of each that does not hold.
#pragma once

#include <cstdint>

#include "io/file.h"
#include "tools/findings.h"

namespace varve::tools {

// All give the number of index entries that were checked.
[[nodiscard]] std::uint64_t check_finished_layer(const io::File& file, const Place& place);

// `index` may be null for a sparse layer.
[[nodiscard]] std::uint64_t check_writable_layer(const io::File& data, const io::File* index,
                                                 const Place& data_place, const Place& index_place);

}  // namespace varve::tools
