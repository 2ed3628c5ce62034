// A file in memory: bytes at hand for altering, and failures on demand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/file.h"

namespace varve::test {

class MemoryFile : public io::WritableFile {
 public:
  MemoryFile() = default;
  explicit MemoryFile(std::vector<std::byte> content) : content_(std::move(content)) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return content_.size(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override;
  [[nodiscard]] int resize(std::uint64_t size) override;
  [[nodiscard]] int sync() override { return 0; }
  [[nodiscard]] int punch_hole(const io::ByteRange& range) override;
  [[nodiscard]] int data_ranges(std::vector<io::ByteRange>& ranges) const override;

  [[nodiscard]] std::vector<std::byte>& content() noexcept { return content_; }

  // Reads that touch this range fail with -EIO.
  void make_unreadable(const io::ByteRange& range) { unreadable_ = range; }
  // From this size on writes fail with -ENOSPC.
  void limit(std::uint64_t size) { limit_ = size; }

 private:
  std::vector<std::byte> content_;
  std::string name_ = "memory";
  io::ByteRange unreadable_;
  std::uint64_t limit_ = UINT64_MAX;
};

// Remembers what it is told.
class Listener final : public io::DamageListener {
 public:
  void damaged(const io::Damage& damage) noexcept override { damages.push_back(damage); }
  std::vector<io::Damage> damages;
};

}  // namespace varve::test
