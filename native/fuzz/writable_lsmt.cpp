// A writable layer's two files, opened, read, written to and opened again. The input is the length
// of the index file in four bytes, the index file, and the data file.
#include <cstring>

#include "fuzz/target.h"
#include "lsmt/writable_stack.h"

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
  // The files outlive the layer, as those on a disk do.
  const auto content_of = [](const std::uint8_t* bytes, std::size_t length) {
    auto content = std::make_shared<test::MemoryContent>();
    content->bytes = fuzz::bytes_of(bytes, length);
    content->size_limit = kDiskSize;
    content->fit();
    std::fill(content->has_data.begin(), content->has_data.end(), true);
    return content;
  };
  const test::SharedContent index = content_of(data, split);
  const test::SharedContent content = content_of(data + split, size - split);
  const std::vector<std::byte> sector(512, std::byte{1});
  for (const auto lost : {lsmt::LostData::kRefuse, lsmt::LostData::kDrop}) {
    try {
      auto layer = lsmt::WritableLayer::open(std::make_unique<test::MemoryFile>(content),
                                             std::make_unique<test::MemoryFile>(index), lost);
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
