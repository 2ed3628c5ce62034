// An image's config.v1.json.
#include "image/image_config.h"

#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace varve;
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    static_cast<void>(image::parse_image_config(text, "config"));
  } catch (const image::ConfigError&) {
    // Refused, as most inputs are.
  }
  return 0;
}
