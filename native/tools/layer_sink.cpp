#include "tools/layer_sink.h"

#include "tools/failure.h"

namespace varve::tools {

LayerSink::LayerSink(OutputFile& output, const LayerFormat& format)
    : output_(output), target_(&output.file()) {
  if (format.is_tar_wrapped) target_ = &archive_.emplace(*target_);
  if (format.compression) compressor_.emplace(*target_, *format.compression);
}

int LayerSink::append(std::span<const std::byte> bytes) {
  const std::uint64_t position = position_;
  position_ += bytes.size();
  return compressor_ ? compressor_->append(bytes) : target_->write(bytes, position);
}

LayerSummary LayerSink::finish() {
  LayerSummary summary;
  summary.content_size = position_;
  if (compressor_) {
    const int error = compressor_->finish(summary.compression.emplace());
    check(error, output_.path(), "cannot be written");
  }
  if (archive_) check(archive_->finish(), output_.path(), "cannot be written");
  summary.file_size = output_.file().size();
  return summary;
}

}  // namespace varve::tools
