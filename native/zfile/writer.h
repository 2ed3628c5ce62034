// Writing a ZFile: content goes in at one end, blocks are compressed by several threads and written
// in order, so the file is the same whatever the number of threads.
//
// The thread that appends compresses too while it would otherwise wait. Memory: two
// batches of about 0.6 MiB a thread and one more, and four bytes a block for the index.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "io/file.h"
#include "zfile/format.h"

namespace varve::zfile {

struct WriteOptions {
  Algorithm algorithm = Algorithm::lz4;
  // A power of two from 512 to 65536. Overlaybd itself cannot read a block of 64 KiB that does not
  // compress (WriteSummary::longest_stored above 65536).
  std::uint32_t block_size = 4096;
  bool has_sums = true;
  // Whether the header is written again at the end, so that it describes the file by itself.
  bool is_header_final = true;
  // How many threads compress, the one that appends included; 0 is one for each processor.
  unsigned threads = 0;
};

struct WriteSummary {
  std::uint64_t content_size = 0;
  std::uint64_t file_size = 0;
  std::uint64_t block_count = 0;
  std::uint32_t longest_stored = 0;  // the longest stored block, its sum included
};

class Writer {
 public:
  // `target` has to be empty and to outlive the writer. Throws FormatError for options that make no
  // ZFile.
  Writer(io::WritableFile& target, const WriteOptions& options);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // 0 or the negative errno of the first failed write, then and from then on.
  [[nodiscard]] int append(std::span<const std::byte> content);

  // The same without a copy: room for what comes next, never empty, and how much of it was filled.
  [[nodiscard]] std::span<std::byte> room() noexcept;
  [[nodiscard]] int filled(std::size_t length);

  // Writes what is left, the index, the trailer and the header. Nothing can be appended afterwards.
  // Does not sync.
  [[nodiscard]] int finish(WriteSummary& summary);

 private:
  class Pipeline;
  std::unique_ptr<Pipeline> pipeline_;
};

// Writes the whole of `source`; `progress`, if any, is told how many of its bytes are done. Returns
// 0 or a negative errno of either file.
[[nodiscard]] int compress(const io::File& source, io::WritableFile& target,
                           const WriteOptions& options, WriteSummary& summary,
                           const std::function<void(std::uint64_t)>& progress = {});

}  // namespace varve::zfile
