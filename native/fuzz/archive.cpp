// The tar of a layer, compressed or not: every member with its attributes and content.
#include "apply/apply_error.h"
#include "apply/archive_reader.h"
#include "apply/byte_stream.h"
#include "fuzz/target.h"

namespace {

class Stream final : public varve::apply::ByteStream {
 public:
  explicit Stream(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  std::size_t read(std::span<std::byte> destination) override {
    const std::size_t count = std::min(destination.size(), bytes_.size() - position_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(position_), count,
                destination.begin());
    position_ += count;
    return count;
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t position_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  try {
    auto stream = std::make_unique<Stream>(fuzz::bytes_of(data, size));
    apply::ReadAhead input(apply::decompress(std::move(stream), "archive"), false);
    apply::ArchiveReader reader(input);
    // Compressed zeros are many, and cost time only.
    constexpr std::uint64_t kPositionMax = 8 << 20;
    while (reader.next() && input.position() < kPositionMax) {
      while (!reader.content().empty() && input.position() < kPositionMax) {
      }
    }
  } catch (const apply::ApplyError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
