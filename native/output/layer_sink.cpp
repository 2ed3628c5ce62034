#include "output/layer_sink.h"

#include "io/bytes.h"

namespace varve::output {

namespace {

// So much that the disk gets long writes.
constexpr std::uint64_t kSyncBytes = 16 << 20;

}  // namespace

LayerSink::LayerSink(OutputFile& output, const LayerFormat& format)
    : output_(output), target_(&output.file()) {
  if (format.is_tar_wrapped) target_ = &archive_.emplace(*target_);
  if (format.compression) compressor_.emplace(*target_, *format.compression);
}

int LayerSink::append(std::span<const std::byte> bytes) {
  const std::uint64_t position = position_;
  position_ += bytes.size();
  const int error =
      compressor_ ? compressor_->append(bytes) : target_->write(bytes, position);
  begin_sync();
  return error;
}

void LayerSink::begin_sync() noexcept {
  const std::uint64_t length = output_.file().size() - synced_;
  if (length < kSyncBytes) return;
  output_.file().begin_sync({synced_, length});
  synced_ += length;
}

LayerSummary LayerSink::finish() {
  LayerSummary summary;
  summary.content_size = position_;
  const auto check = [this](int error) {
    if (error == 0) return;
    throw io::FormatError(-error, output_.path() + ": cannot be written: " + io::error_text(-error));
  };
  if (compressor_) check(compressor_->finish(summary.compression.emplace()));
  if (archive_) check(archive_->finish());
  summary.file_size = output_.file().size();
  return summary;
}

}  // namespace varve::output
