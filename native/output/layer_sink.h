// Where a layer goes that is written from front to back: into a file as it is, compressed, wrapped
// in a tar archive, or both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "tar/layer_writer.h"
#include "output/output_file.h"
#include "zfile/writer.h"

namespace varve::output {

struct LayerFormat {
  std::optional<zfile::WriteOptions> compression;
  bool is_tar_wrapped = false;
};

struct LayerSummary {
  std::uint64_t content_size = 0;  // before it was compressed
  std::uint64_t file_size = 0;
  std::optional<zfile::WriteSummary> compression;
};

class LayerSink {
 public:
  // Throws io::FormatError. `output` has to outlive this.
  LayerSink(OutputFile& output, const LayerFormat& format);

  // 0 or a negative errno, as lsmt::Output has it.
  [[nodiscard]] int append(std::span<const std::byte> bytes);

  // Completes the file; publishing it is left to the caller. Throws io::FormatError.
  LayerSummary finish();

 private:
  void begin_sync() noexcept;

  OutputFile& output_;
  std::optional<tar::LayerWriter> archive_;
  io::WritableFile* target_;
  std::optional<zfile::Writer> compressor_;
  std::uint64_t position_ = 0;
  std::uint64_t synced_ = 0;  // of the file, what the disk was told to begin with
};

}  // namespace varve::output
