#include "io/reporting_file.h"

#include <cerrno>
#include <exception>
#include <utility>

#include "io/bytes.h"

namespace varve::io {

namespace {

class ReportingFile final : public File {
 public:
  ReportingFile(std::unique_ptr<const File> file, DamageListener& listener)
      : file_(std::move(file)), listener_(listener) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return file_->size(); }
  [[nodiscard]] const std::string& name() const noexcept override { return file_->name(); }
  [[nodiscard]] bool is_cut_off() const noexcept override { return file_->is_cut_off(); }
  [[nodiscard]] const std::byte* view(const ByteRange& range) const noexcept override {
    return file_->view(range);
  }

  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    const int error = file_->read(destination, offset);
    if (error != 0 && error != -ENOMEM) report({offset, destination.size()}, -error);
    return error;
  }

 private:
  void report(const ByteRange& range, int error) const noexcept {
    // What is to be told must not cost more than is lost already.
    try {
      const std::string reason = error == EIO && is_cut_off()
                                     ? "the file is shorter than when it was opened"
                                     : error_text(error);
      listener_.damaged({file_->name(), range.offset,
                         std::to_string(range.length) + " bytes cannot be read: " + reason});
    } catch (const std::exception&) {
      return;
    }
  }

  std::unique_ptr<const File> file_;
  DamageListener& listener_;
};

}  // namespace

std::unique_ptr<File> open_reporting(std::unique_ptr<const File> file, DamageListener& listener) {
  return std::make_unique<ReportingFile>(std::move(file), listener);
}

}  // namespace varve::io
