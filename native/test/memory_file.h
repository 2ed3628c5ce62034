// A file in memory: bytes at hand for altering, and failures on demand. Like a file system it keeps
// data in blocks of 4096 bytes, and knows which of them are holes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "io/file.h"

namespace varve::test {

enum class Call { kWrite, kResize, kPunchHole, kSync };

// May be shared: then it outlives the handles that layers own.
struct MemoryContent {
  static constexpr std::size_t kBlock = 4096;

  std::shared_mutex mutex;
  std::vector<std::byte> bytes;
  std::vector<bool> has_data;  // by block
  int next_write_error = 0;
  std::function<void(Call)> on_call;        // told of a change that was made, with `mutex` held
  io::ByteRange unreadable;                 // reads that touch it fail with -EIO
  std::uint64_t size_limit = UINT64_MAX;    // beyond this size writes fail with -ENOSPC

  void tell(Call call) const {
    if (on_call) on_call(call);
  }
  void fit() { has_data.resize((bytes.size() + kBlock - 1) / kBlock); }
  [[nodiscard]] std::size_t data_blocks() const {
    return static_cast<std::size_t>(std::count(has_data.begin(), has_data.end(), true));
  }
};

using SharedContent = std::shared_ptr<MemoryContent>;

// The same bytes, apart from the first.
inline SharedContent copy_of(const SharedContent& content) {
  auto copy = std::make_shared<MemoryContent>();
  copy->bytes = content->bytes;
  copy->has_data = content->has_data;
  return copy;
}

class MemoryFile final : public io::WritableFile {
 public:
  explicit MemoryFile(SharedContent content = std::make_shared<MemoryContent>(),
                      std::string name = "memory")
      : content_(std::move(content)), name_(std::move(name)) {}
  explicit MemoryFile(std::vector<std::byte> bytes) : MemoryFile() {
    content_->bytes = std::move(bytes);
    content_->fit();
    std::fill(content_->has_data.begin(), content_->has_data.end(), true);
  }

  [[nodiscard]] std::uint64_t size() const noexcept override {
    const std::shared_lock lock(content_->mutex);
    return content_->bytes.size();
  }

  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    const std::shared_lock lock(content_->mutex);
    const std::vector<std::byte>& bytes = content_->bytes;
    if (!io::is_within(offset, destination.size(), bytes.size())) return -EINVAL;
    const io::ByteRange& unreadable = content_->unreadable;
    const std::uint64_t end = offset + destination.size();
    if (offset < unreadable.offset + unreadable.length && end > unreadable.offset) return -EIO;
    if (!destination.empty()) {
      std::memcpy(destination.data(), bytes.data() + offset, destination.size());
    }
    return 0;
  }

  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override {
    const std::unique_lock lock(content_->mutex);
    if (content_->next_write_error != 0) return std::exchange(content_->next_write_error, 0);
    if (source.empty()) return 0;
    if (offset + source.size() > content_->size_limit) return -ENOSPC;
    std::vector<std::byte>& bytes = content_->bytes;
    if (offset + source.size() > bytes.size()) bytes.resize(offset + source.size());
    content_->fit();
    std::memcpy(bytes.data() + offset, source.data(), source.size());
    for (std::uint64_t block = offset / MemoryContent::kBlock;
         block * MemoryContent::kBlock < offset + source.size(); ++block) {
      content_->has_data[block] = true;
    }
    content_->tell(Call::kWrite);
    return 0;
  }

  [[nodiscard]] int resize(std::uint64_t size) override {
    const std::unique_lock lock(content_->mutex);
    if (size > content_->size_limit) return -ENOSPC;
    content_->bytes.resize(size);
    content_->fit();
    content_->tell(Call::kResize);
    return 0;
  }

  [[nodiscard]] int sync() override {
    const std::unique_lock lock(content_->mutex);
    content_->tell(Call::kSync);
    return 0;
  }

  [[nodiscard]] int punch_hole(const io::ByteRange& range) override {
    const std::unique_lock lock(content_->mutex);
    const std::uint64_t end = std::min<std::uint64_t>(range.offset + range.length,
                                                      content_->bytes.size());
    for (std::uint64_t at = range.offset; at < end; ++at) content_->bytes[at] = std::byte{};
    for (std::uint64_t block = (range.offset + MemoryContent::kBlock - 1) / MemoryContent::kBlock;
         (block + 1) * MemoryContent::kBlock <= end; ++block) {
      content_->has_data[block] = false;
    }
    content_->tell(Call::kPunchHole);
    return 0;
  }

  [[nodiscard]] int data_ranges(std::vector<io::ByteRange>& ranges) const override {
    const std::shared_lock lock(content_->mutex);
    ranges.clear();
    for (std::uint64_t block = 0; block < content_->has_data.size(); ++block) {
      if (!content_->has_data[block]) continue;
      const std::uint64_t offset = block * MemoryContent::kBlock;
      const std::uint64_t length =
          std::min<std::uint64_t>(MemoryContent::kBlock, content_->bytes.size() - offset);
      if (!ranges.empty() && ranges.back().offset + ranges.back().length == offset) {
        ranges.back().length += length;
      } else {
        ranges.push_back({offset, length});
      }
    }
    return 0;
  }

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

  // For one thread.
  [[nodiscard]] std::vector<std::byte>& content() noexcept { return content_->bytes; }
  void make_unreadable(const io::ByteRange& range) { content_->unreadable = range; }
  void limit(std::uint64_t size) { content_->size_limit = size; }

 private:
  SharedContent content_;
  std::string name_;
};

// Remembers what it is told.
class Listener final : public io::DamageListener {
 public:
  void damaged(const io::Damage& damage) noexcept override { damages.push_back(damage); }
  std::vector<io::Damage> damages;
};

}  // namespace varve::test
