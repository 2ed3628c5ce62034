// gzip and zstd as streams.
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "apply/apply_error.h"
#include "apply/byte_stream.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

constexpr std::size_t kInputSize = std::size_t{256} << 10;
constexpr std::size_t kMagicSize = 6;
constexpr int kGzipOnly = 16 + MAX_WBITS;

// A stream of which the first bytes were looked at.
class PeekedStream final : public ByteStream {
 public:
  explicit PeekedStream(std::unique_ptr<ByteStream> source) : source_(std::move(source)) {
    length_ = source_->read(first_);
  }

  [[nodiscard]] bool begins_with(std::initializer_list<unsigned char> magic) const {
    return magic.size() <= length_ && std::memcmp(first_.data(), magic.begin(), magic.size()) == 0;
  }

  std::size_t read(std::span<std::byte> destination) override {
    const std::size_t kept = std::min(destination.size(), length_ - used_);
    std::memcpy(destination.data(), first_.data() + used_, kept);
    used_ += kept;
    return kept + (kept < destination.size() ? source_->read(destination.subspan(kept)) : 0);
  }

 private:
  std::unique_ptr<ByteStream> source_;
  std::array<std::byte, kMagicSize> first_{};
  std::size_t length_ = 0;
  std::size_t used_ = 0;
};

// Compressed bytes, a buffer at a time.
class Input {
 public:
  explicit Input(std::unique_ptr<ByteStream> source)
      : source_(std::move(source)), buffer_(kInputSize) {}

  // Empty at the end.
  std::span<const std::byte> rest() {
    if (used_ == length_) {
      length_ = source_->read(buffer_);
      used_ = 0;
    }
    return std::span(buffer_).subspan(used_, length_ - used_);
  }
  void use(std::size_t count) { used_ += count; }

 private:
  std::unique_ptr<ByteStream> source_;
  std::vector<std::byte> buffer_;
  std::size_t length_ = 0;
  std::size_t used_ = 0;
};

class GzipStream final : public ByteStream {
 public:
  GzipStream(std::unique_ptr<ByteStream> source, std::string name)
      : input_(std::move(source)), name_(std::move(name)) {
    if (::inflateInit2(&inflater_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { ::inflateEnd(&inflater_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::size_t read(std::span<std::byte> destination) override {
    inflater_.next_out = reinterpret_cast<Bytef*>(destination.data());
    inflater_.avail_out = static_cast<uInt>(destination.size());
    while (inflater_.avail_out > 0 && !is_at_end_) step();
    return destination.size() - inflater_.avail_out;
  }

 private:
  void step() {
    std::span<const std::byte> rest = input_.rest();
    if (is_between_members_) {
      // Zeros fill up the block of a tape; more members count as one stream.
      while (!rest.empty() && rest.front() == std::byte{0}) {
        input_.use(1);
        rest = input_.rest();
      }
      if (rest.empty()) {
        is_at_end_ = true;
        return;
      }
      is_between_members_ = false;
    }
    if (rest.empty()) fail("it ends in the middle of the compressed data");
    inflater_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest.data()));
    inflater_.avail_in = static_cast<uInt>(rest.size());
    const int result = ::inflate(&inflater_, Z_NO_FLUSH);
    input_.use(rest.size() - inflater_.avail_in);
    if (result == Z_STREAM_END) {
      is_between_members_ = true;
      ::inflateReset(&inflater_);
    } else if (result != Z_OK) {
      fail(inflater_.msg != nullptr ? inflater_.msg : "the compressed data are damaged");
    }
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw ApplyError(EINVAL, name_ + ": not sound as gzip: " + why);
  }

  Input input_;
  std::string name_;
  z_stream inflater_{};
  bool is_between_members_ = false;
  bool is_at_end_ = false;
};

class ZstdStream final : public ByteStream {
 public:
  ZstdStream(std::unique_ptr<ByteStream> source, std::string name)
      : input_(std::move(source)), name_(std::move(name)), context_(::ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
  }

  std::size_t read(std::span<std::byte> destination) override {
    ZSTD_outBuffer out{destination.data(), destination.size(), 0};
    while (out.pos < out.size) {
      const std::span<const std::byte> rest = input_.rest();
      if (rest.empty() && is_between_frames_) break;
      ZSTD_inBuffer in{rest.data(), rest.size(), 0};
      const std::size_t before = out.pos;
      const std::size_t result = ::ZSTD_decompressStream(context_.get(), &out, &in);
      if (::ZSTD_isError(result) != 0) fail(::ZSTD_getErrorName(result));
      if (rest.empty() && out.pos == before) fail("it ends in the middle of the compressed data");
      input_.use(in.pos);
      is_between_frames_ = result == 0;
    }
    return out.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const noexcept { ::ZSTD_freeDCtx(context); }
  };

  [[noreturn]] void fail(const std::string& why) const {
    throw ApplyError(EINVAL, name_ + ": not sound as zstd: " + why);
  }

  Input input_;
  std::string name_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool is_between_frames_ = true;
};

}  // namespace

std::unique_ptr<ByteStream> decompress(std::unique_ptr<ByteStream> source,
                                       const std::string& name) {
  auto peeked = std::make_unique<PeekedStream>(std::move(source));
  if (peeked->begins_with({0x1f, 0x8b})) {
    return std::make_unique<GzipStream>(std::move(peeked), name);
  }
  if (peeked->begins_with({0x28, 0xb5, 0x2f, 0xfd})) {
    return std::make_unique<ZstdStream>(std::move(peeked), name);
  }
  const auto refuse = [&name](const char* format) {
    throw ApplyError(EOPNOTSUPP, name + " is compressed with " + format +
                                     "; layers are plain, gzip or zstd");
  };
  if (peeked->begins_with({0xfd, '7', 'z', 'X', 'Z', 0})) refuse("xz");
  if (peeked->begins_with({'B', 'Z', 'h'})) refuse("bzip2");
  if (peeked->begins_with({0x04, 0x22, 0x4d, 0x18})) refuse("lz4");
  return peeked;
}

}  // namespace varve::apply
