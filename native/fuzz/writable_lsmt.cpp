// A writable layer's two files, opened, read, written to and opened again. The input is the length
// of the index file in four bytes, the index file, and the data file.
#include <cstring>

#include "fuzz/target.h"
#include "lsmt/writable_stack.h"

namespace {

// A layer's files outlive it here, as those on a disk do.
class Borrowed final : public varve::io::WritableFile {
 public:
  explicit Borrowed(varve::test::MemoryFile& file) : file_(file) {}
  [[nodiscard]] std::uint64_t size() const noexcept override { return file_.size(); }
  [[nodiscard]] const std::string& name() const noexcept override { return file_.name(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    return file_.read(destination, offset);
  }
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override {
    return file_.write(source, offset);
  }
  [[nodiscard]] int resize(std::uint64_t size) override { return file_.resize(size); }
  [[nodiscard]] int sync() override { return file_.sync(); }
  [[nodiscard]] int punch_hole(const varve::io::ByteRange& range) override {
    return file_.punch_hole(range);
  }
  [[nodiscard]] int data_ranges(std::vector<varve::io::ByteRange>& ranges) const override {
    return file_.data_ranges(ranges);
  }

 private:
  varve::test::MemoryFile& file_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  std::uint32_t index_size = 0;
  if (size < sizeof(index_size)) return 0;
  std::memcpy(&index_size, data, sizeof(index_size));
  data += sizeof(index_size);
  size -= sizeof(index_size);
  const std::size_t split = std::min<std::size_t>(index_size, size);
  // What a sparse file says of its size is made by writes, so a bound stands for the disk's.
  constexpr std::uint64_t kDiskSize = 1 << 20;
  test::MemoryFile index(fuzz::bytes_of(data, split));
  test::MemoryFile content(fuzz::bytes_of(data + split, size - split));
  index.limit(kDiskSize);
  content.limit(kDiskSize);
  const std::vector<std::byte> sector(512, std::byte{1});
  for (const auto lost : {lsmt::LostData::kRefuse, lsmt::LostData::kDrop}) {
    try {
      auto layer = lsmt::WritableLayer::open(std::make_unique<Borrowed>(content),
                                             std::make_unique<Borrowed>(index), lost);
      const lsmt::WritableStack stack(std::move(layer), nullptr, "stack");
      fuzz::read_here_and_there(stack);
      static_cast<void>(stack.upper().write(sector, 0));
      static_cast<void>(stack.upper().discard({.offset = 512, .length = 512}));
      static_cast<void>(stack.upper().flush());
    } catch (const io::FormatError&) {
      // Refused, as most inputs are.
    }
  }
  return 0;
}
