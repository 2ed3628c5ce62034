#include "bd/layer_output.h"

#include <cerrno>

#include "output/layer_sink.h"
#include "output/output_file.h"

namespace varve::bd {

namespace {

// Layers are read by others than root, as images are.
constexpr mode_t kMode = 0644;

output::LayerFormat format_of(const CommitRequest& request) {
  output::LayerFormat format;
  format.is_tar_wrapped = request.is_tar;
  if (request.compression == Compression::kNone) return format;
  zfile::WriteOptions& compression = format.compression.emplace();
  compression.algorithm = request.compression == Compression::kZstd ? zfile::Algorithm::zstd
                                                                    : zfile::Algorithm::lz4;
  compression.block_size = request.block_size_bytes;
  return format;
}

}  // namespace

CommitSummary commit_to_file(Image& image, const CommitRequest& request,
                             Cancellation& cancellation) {
  lsmt::LayerOptions options;
  options.uuid = request.uuid;
  options.parent_uuid = request.parent_uuid;
  options.user_tag = request.user_tag;

  output::OutputFile file(request.output, output::Existing::kRefuse);
  output::LayerSink sink(file, format_of(request));
  image.commit(options, [&](std::span<const std::byte> bytes) {
    return cancellation.is_cancelled() ? -ECANCELED : sink.append(bytes);
  });
  const output::LayerSummary summary = sink.finish();
  file.set_mode(kMode);
  file.make_durable();
  if (!cancellation.finish()) {
    throw io::FormatError(ECANCELED, request.output + ": the commit was given up");
  }
  file.publish();
  return {.layer_bytes = summary.content_size, .file_bytes = summary.file_size};
}

}  // namespace varve::bd
