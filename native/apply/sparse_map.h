// Which parts of a sparse file an archive holds, in each of the ways that GNU tar has to say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "apply/read_ahead.h"
#include "io/file.h"

namespace varve::apply {

using SparseMap = std::vector<io::ByteRange>;

// Numbers of offsets and lengths in turn, as pax records and maps in front of the data have them.
class SparseMapBuilder {
 public:
  // Throws ApplyError for more parts than any file has.
  void add(std::uint64_t offset, std::uint64_t length);
  [[nodiscard]] SparseMap take() { return std::move(map_); }

 private:
  SparseMap map_;
};

// GNU.sparse.map of version 0.1: numbers with commas between them.
SparseMap parse_sparse_list(std::string_view text);

// The map of version 1.0, lines of decimals in front of the data, padded to blocks; takes them from
// `input` and from `stored`, the number of bytes that the member has.
SparseMap read_sparse_lines(ReadAhead& input, std::uint64_t& stored);

// The map of the old format: four parts in the header, more in the blocks behind it.
SparseMap read_old_sparse_map(std::span<const std::byte> header, ReadAhead& input);

// Parts are in order, do not overlap, lie inside of the file, and are as long as what is stored.
void check_sparse_map(const SparseMap& map, std::uint64_t size, std::uint64_t stored);

}  // namespace varve::apply
