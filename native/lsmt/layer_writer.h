// Writes a finished layer: header, data, index, trailer, strictly from front to back, so that it may
// go into a compressor or over a network.
//
// Mappings come out in the way that upstream's tools write them (data in pieces of 32 KiB, joined
// again where they touch), so the same content gives the same bytes.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "io/file.h"
#include "lsmt/header.h"
#include "lsmt/mapping_array.h"
#include "lsmt/read_only_stack.h"

namespace varve::lsmt {

// Takes the next bytes of the output; 0 or a negative errno.
using Output = std::function<int(std::span<const std::byte>)>;
using FileOfLayer = std::function<const io::File&(unsigned layer)>;

// What upstream's reader takes; a layer with more would be one that it cannot open.
inline constexpr std::size_t kReadersMappingsMax = 1'000'000;

struct LayerOptions {
  std::uint64_t virtual_size = 0;
  Uuid uuid{};
  Uuid parent_uuid{};
  std::string user_tag{};  // at most kUserTagMax bytes
  std::size_t mappings_max = kReadersMappingsMax;
};

// `mappings` are sorted and do not overlap. What lies behind the virtual size is kept: a larger layer
// on top would show it, and goes on to do so. Throws
// io::FormatError: EIO and the like where a source cannot be read, what `output` answered, E2BIG for
// too many mappings or too long a tag (before anything is written), EFBIG for too many after the
// data was written.
void write_layer(const MappingArray& mappings, const FileOfLayer& file_of,
                 const LayerOptions& options, const Output& output);

// Merges a stack into one layer. Without a parent in `options` the result has that of the lowest
// layer; without a size, the stack's.
void merge_stack(const ReadOnlyStack& stack, LayerOptions options, const Output& output);

// What comes between the data of a finished layer and its trailer, also of one that is sealed in
// place: entries, padded to a multiple of `padded_entries`. 0 or what `output` answered.
[[nodiscard]] int write_index(const std::vector<Mapping>& entries, std::size_t padded_entries,
                              const Output& output);

}  // namespace varve::lsmt
