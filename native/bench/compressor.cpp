// varve-bench-compressor ALGORITHM BLOCK FILE: how long one compressor that keeps its context takes
// for the content of a file in memory, in blocks of so many bytes, as JSON. Nothing is written.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/file.h"
#include "tools/clock.h"
#include "zfile/codec.h"

using namespace varve;
using tools::seconds_of;

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: varve-bench-compressor lz4|zstd BLOCK FILE\n");
    return 2;
  }
  try {
    const auto algorithm =
        std::string(argv[1]) == "lz4" ? zfile::Algorithm::lz4 : zfile::Algorithm::zstd;
    const std::size_t block_size = std::strtoul(argv[2], nullptr, 10);
    if (block_size == 0) throw std::runtime_error("a block of no bytes");
    const auto file = io::open_file(argv[3]);
    std::vector<std::byte> content(file->size());
    if (file->read(content, 0) != 0) throw std::runtime_error(file->name() + " cannot be read");
    std::vector<std::byte> stored(block_size + zfile::kExpansionMax);
    zfile::Compressor compressor(algorithm);
    const double cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    const double wall = seconds_of(CLOCK_MONOTONIC);
    for (std::size_t begin = 0; begin < content.size(); begin += block_size) {
      const std::size_t length = std::min(block_size, content.size() - begin);
      static_cast<void>(compressor.compress(std::span(content).subspan(begin, length), stored));
    }
    std::printf("{\"bytes\": %zu, \"cpuSeconds\": %.6f, \"wallSeconds\": %.6f}\n", content.size(),
                seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu, seconds_of(CLOCK_MONOTONIC) - wall);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "varve-bench-compressor: %s\n", error.what());
    return 1;
  }
}
