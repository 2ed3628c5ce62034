// A finished layer: header, trailer, index; then the disk that it is, alone and upon itself.
#include "fuzz/target.h"
#include "lsmt/read_only_stack.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  const std::shared_ptr<const io::File> file = fuzz::file_of(data, size);
  for (const std::size_t height : {1U, 3U}) {
    try {
      std::vector<lsmt::ReadOnlyLayer> layers;
      while (layers.size() < height) layers.push_back(lsmt::open_read_only_layer(file));
      const lsmt::ReadOnlyStack stack(std::move(layers), "stack");
      fuzz::read_here_and_there(stack);
      static_cast<void>(lsmt::chain_defects(stack.layers()));
    } catch (const io::FormatError&) {
      // Refused, as most inputs are.
    }
  }
  return 0;
}
