#include "io/slice_file.h"

#include <cerrno>
#include <utility>

#include "io/bytes.h"

namespace varve::io {

namespace {

class SliceFile final : public File {
 public:
  SliceFile(std::unique_ptr<const File> file, const ByteRange& range, std::string name)
      : file_(std::move(file)), range_(range), name_(std::move(name)) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return range_.length; }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] bool is_cut_off() const noexcept override { return file_->is_cut_off(); }

  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    if (!is_within(offset, destination.size(), range_.length)) return -EINVAL;
    return file_->read(destination, range_.offset + offset);
  }

  [[nodiscard]] const std::byte* view(const ByteRange& range) const noexcept override {
    if (!is_within(range.offset, range.length, range_.length)) return nullptr;
    return file_->view({range_.offset + range.offset, range.length});
  }

 private:
  std::unique_ptr<const File> file_;
  ByteRange range_;
  std::string name_;
};

}  // namespace

std::unique_ptr<File> open_slice(std::unique_ptr<const File> file, const ByteRange& range,
                                 std::string name) {
  if (!is_within(range.offset, range.length, file->size())) {
    throw FormatError(EINVAL, name + ": reaches past the end of " + file->name());
  }
  return std::make_unique<SliceFile>(std::move(file), range, std::move(name));
}

}  // namespace varve::io
