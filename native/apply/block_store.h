// What a file system is built on: a disk that is read and written by range, without any device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "io/file.h"
#include "lsmt/writable_stack.h"

namespace varve::apply {

// Every call answers 0 or a negative errno. Offsets and lengths of writes and discards are
// multiples of 512.
class BlockStore {
 public:
  virtual ~BlockStore() = default;

  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;
  [[nodiscard]] virtual int read(std::span<std::byte> destination,
                                 std::uint64_t offset) const noexcept = 0;
  [[nodiscard]] virtual int write(std::span<const std::byte> source, std::uint64_t offset) = 0;
  // The range reads as zeros from then on.
  [[nodiscard]] virtual int discard(const io::ByteRange& range) = 0;
  // Whether all of it is known to read as zeros.
  [[nodiscard]] virtual bool is_blank() const = 0;
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
};

// The disk of a stack of layers; what is written goes to its upper layer.
class StackStore final : public BlockStore {
 public:
  explicit StackStore(lsmt::WritableStack& stack) : stack_(stack) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return stack_.size(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override;
  [[nodiscard]] int discard(const io::ByteRange& range) override;
  [[nodiscard]] bool is_blank() const override;
  [[nodiscard]] const std::string& name() const noexcept override { return stack_.name(); }

 private:
  lsmt::WritableStack& stack_;
};

// A file that holds a disk as it is.
class FileStore final : public BlockStore {
 public:
  explicit FileStore(std::unique_ptr<io::WritableFile> file) : file_(std::move(file)) {}

  [[nodiscard]] std::uint64_t size() const noexcept override { return file_->size(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override;
  [[nodiscard]] int discard(const io::ByteRange& range) override;
  [[nodiscard]] bool is_blank() const override;
  [[nodiscard]] const std::string& name() const noexcept override { return file_->name(); }

 private:
  std::unique_ptr<io::WritableFile> file_;
};

}  // namespace varve::apply
