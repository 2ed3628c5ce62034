#include "zfile/codec.h"

#include <lz4.h>
#include <zstd.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>

#include "io/bytes.h"

namespace varve::zfile {

namespace {

static_assert(LZ4_COMPRESSBOUND(kBlockSizeMax) <= kBlockSizeMax + kExpansionMax);
static_assert(LZ4_COMPRESSBOUND(kBlockSizeMin) <= kBlockSizeMin + kExpansionMax);

constexpr int kAcceleration = 1;
constexpr int kLevel = 3;

const char* characters(const std::byte* bytes) noexcept {
  return reinterpret_cast<const char*>(bytes);
}
char* characters(std::byte* bytes) noexcept { return reinterpret_cast<char*>(bytes); }

struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
};

}  // namespace

// The context for zstd is made when it is first needed: most threads only ever see one codec.
struct Decompressor::Contexts {
  std::unique_ptr<ZSTD_DCtx, FreeZstd> zstd;
};

Decompressor::Decompressor() noexcept : contexts_(new (std::nothrow) Contexts) {}
Decompressor::~Decompressor() = default;

int Decompressor::decompress(Algorithm algorithm, std::span<const std::byte> stored,
                             std::span<std::byte> content) noexcept {
  if (algorithm == Algorithm::lz4) {
    const int length =
        LZ4_decompress_safe(characters(stored.data()), characters(content.data()),
                            static_cast<int>(stored.size()), static_cast<int>(content.size()));
    return length >= 0 && static_cast<std::size_t>(length) == content.size() ? 0 : -EIO;
  }
  // Nothing but a frame of today's format: the library also knows older ones, whose decoders few
  // look after.
  if (stored.size() < 4 || io::load<std::uint32_t>(stored.data()) != ZSTD_MAGICNUMBER) return -EIO;
  if (contexts_ == nullptr) return -ENOMEM;
  if (contexts_->zstd == nullptr) contexts_->zstd.reset(ZSTD_createDCtx());
  if (contexts_->zstd == nullptr) return -ENOMEM;
  const std::size_t length = ZSTD_decompressDCtx(contexts_->zstd.get(), content.data(),
                                                 content.size(), stored.data(), stored.size());
  return length == content.size() ? 0 : -EIO;
}

struct Compressor::Contexts {
  std::unique_ptr<std::byte[]> lz4;
  std::unique_ptr<ZSTD_CCtx, FreeZstd> zstd;
};

Compressor::Compressor(Algorithm algorithm)
    : algorithm_(algorithm), contexts_(std::make_unique<Contexts>()) {
  if (algorithm == Algorithm::lz4) {
    contexts_->lz4 = std::make_unique<std::byte[]>(static_cast<std::size_t>(LZ4_sizeofState()));
  } else {
    contexts_->zstd.reset(ZSTD_createCCtx());
    if (contexts_->zstd == nullptr) throw std::bad_alloc();
  }
}

Compressor::~Compressor() = default;

std::size_t Compressor::compress(std::span<const std::byte> content, std::span<std::byte> stored) {
  if (algorithm_ == Algorithm::lz4) {
    const int length = LZ4_compress_fast_extState(
        contexts_->lz4.get(), characters(content.data()), characters(stored.data()),
        static_cast<int>(content.size()), static_cast<int>(stored.size()), kAcceleration);
    if (length <= 0) throw std::logic_error("lz4 did not compress a block");
    return static_cast<std::size_t>(length);
  }
  const std::size_t length = ZSTD_compressCCtx(contexts_->zstd.get(), stored.data(), stored.size(),
                                               content.data(), content.size(), kLevel);
  if (ZSTD_isError(length) != 0) {
    throw std::logic_error(std::string("zstd did not compress a block: ") +
                           ZSTD_getErrorName(length));
  }
  return length;
}

}  // namespace varve::zfile
