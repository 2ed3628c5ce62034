// The content of a ZFile as a file, read by range.
//
// - A block is handed out only if its sum is right (where the file has sums) and it decompresses to
//   exactly the length that it must have; otherwise the read is -EIO and the listener is told.
// - The stored bytes are taken into memory of our own before they are checked: nobody can change
// them
//   between the check and the decompression.
// - Each thread that reads keeps some 0.5 MiB: stored bytes, contexts, and the content of the block
//   that it last read a part of, because small reads are mostly neighbours.
#pragma once

#include <memory>

#include "io/file.h"
#include "zfile/block_index.h"
#include "zfile/format.h"

namespace varve::zfile {

// Whether `file` begins like a ZFile. Throws FormatError if it does and its header is damaged, or
// if it cannot be read.
[[nodiscard]] bool is_zfile(const io::File& file);

// What describes the file's content, and where that was found.
struct Description {
  Header header;              // the header or trailer that counts
  bool is_in_header = false;  // else in the trailer
};

// Reads and checks all but the index; throws FormatError.
[[nodiscard]] Description describe(const io::File& file);

class ZFile final : public io::File {
 public:
  // Takes the index into memory; throws FormatError. `listener` may be null and must live as long.
  ZFile(std::unique_ptr<const io::File> source, io::DamageListener* listener);

  [[nodiscard]] std::uint64_t size() const noexcept override { return header_.original_size; }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] const std::string& name() const noexcept override { return source_->name(); }

  [[nodiscard]] const Header& header() const noexcept { return header_; }
  [[nodiscard]] Algorithm algorithm() const noexcept {
    return static_cast<Algorithm>(header_.algorithm);
  }
  [[nodiscard]] const BlockIndex& index() const noexcept { return index_; }
  [[nodiscard]] const io::File& source() const noexcept { return *source_; }

 private:
  struct Scratch;
  struct Request;

  static Scratch* scratch_of_thread() noexcept;
  [[nodiscard]] std::size_t length_of(std::uint64_t block) const noexcept;
  [[nodiscard]] std::uint64_t batch_end(std::uint64_t first, std::uint64_t end) const noexcept;
  [[nodiscard]] int read_blocks(Scratch& scratch, const Request& request, std::uint64_t first,
                                std::uint64_t end) const noexcept;
  [[nodiscard]] int decode_blocks(Scratch& scratch, const Request& request, std::uint64_t first,
                                  std::uint64_t end, const std::byte* stored) const noexcept;
  [[nodiscard]] int decode(Scratch& scratch, std::uint64_t block, std::span<const std::byte> stored,
                           std::span<std::byte> content) const noexcept;
  void report(std::uint64_t block, const char* what, std::uint32_t expected,
              std::uint32_t actual) const noexcept;

  std::unique_ptr<const io::File> source_;
  io::DamageListener* listener_;
  Header header_;
  BlockIndex index_;
  unsigned block_shift_ = 0;
  std::uint64_t identity_;  // of this object among all there ever were, for what threads keep
};

}  // namespace varve::zfile
