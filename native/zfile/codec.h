// The two codecs, one block at a time, with contexts that are kept: making one for each block costs
// more than a small block itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "zfile/format.h"

namespace varve::zfile {

// For one thread at a time.
class Decompressor {
 public:
  Decompressor() noexcept;
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Fills `content`. -EIO if `stored` does not give exactly as many bytes, -ENOMEM.
  [[nodiscard]] int decompress(Algorithm algorithm, std::span<const std::byte> stored,
                               std::span<std::byte> content) noexcept;

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

// For one thread at a time. The same content always gives the same bytes.
class Compressor {
 public:
  explicit Compressor(Algorithm algorithm);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // Returns how many bytes of `stored`, which has kExpansionMax more than `content`, were filled.
  [[nodiscard]] std::size_t compress(std::span<const std::byte> content,
                                     std::span<std::byte> stored);

 private:
  struct Contexts;
  Algorithm algorithm_;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace varve::zfile
