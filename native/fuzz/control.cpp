// A line on the daemon's control socket.
#include "bd/request.h"

#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  std::optional<std::uint64_t> id;
  try {
    const std::string line(reinterpret_cast<const char*>(data), size);
    static_cast<void>(bd::parse_request(line, id));
  } catch (const bd::RequestError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
