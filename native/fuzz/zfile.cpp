// A ZFile: header, trailer, index, and the blocks as far as they are read.
#include "fuzz/target.h"
#include "zfile/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  test::Listener listener;
  try {
    const zfile::ZFile file(fuzz::file_of(data, size), &listener);
    fuzz::read_here_and_there(file);
  } catch (const io::FormatError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
