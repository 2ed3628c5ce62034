// A file on disk that can be written, just enough of one for the golden layers: sparse ones are only
// sparse on a file system.
#pragma once

#include <string>

#include "io/file.h"
#include "syscalls/unique_fd.h"

namespace varve::test {

class DiskFile final : public io::WritableFile {
 public:
  // Made if it is not there.
  explicit DiskFile(const std::string& path);

  [[nodiscard]] std::uint64_t size() const noexcept override;
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override;
  [[nodiscard]] int resize(std::uint64_t size) override;
  [[nodiscard]] int sync() override;
  [[nodiscard]] int punch_hole(const io::ByteRange& range) override;
  [[nodiscard]] int data_ranges(std::vector<io::ByteRange>& ranges) const override;
  [[nodiscard]] const std::string& name() const noexcept override { return path_; }

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace varve::test
