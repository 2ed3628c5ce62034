// A layer's tar header, whatever comes before its content.
#include "fuzz/target.h"
#include "tar/layer_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  try {
    const auto layer = tar::unwrap(fuzz::file_of(data, size));
    fuzz::read_here_and_there(*layer);
  } catch (const io::FormatError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
