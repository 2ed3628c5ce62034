// varve-bench-stack FOLDER LAYERS CONTENT: a stack of layers to measure, FOLDER/0 and on, whose
// merged content is the file CONTENT.
//
// The lowest layer holds everything; each of the others holds runs of 4 to 128 KiB from anywhere,
// all of them together about as much again. The same arguments give the same layers.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>

#include "io/file.h"
#include "lsmt/layer_writer.h"

namespace {

using namespace varve;

constexpr std::uint64_t kUnitSectors = 8;
constexpr std::uint64_t kLongestUnits = 32;

lsmt::MappingArray whole(std::uint64_t sectors) {
  lsmt::MappingArray mappings(sectors / lsmt::kMappingSectorsMax + 1);
  constexpr std::uint64_t longest = lsmt::kMappingSectorsMax / kUnitSectors * kUnitSectors;
  for (std::uint64_t first = 0; first < sectors; first += longest) {
    mappings.push_back(lsmt::Mapping::data({first, std::min(longest, sectors - first)}, first));
  }
  return mappings;
}

// Runs that cover one part in `parts` of the disk.
lsmt::MappingArray scattered(std::uint64_t sectors, std::uint64_t parts, std::mt19937_64& random) {
  lsmt::MappingArray mappings(sectors / kUnitSectors);
  // As long on average, with this many times as much before it.
  const std::uint64_t gap = kLongestUnits * (parts - 1);
  for (std::uint64_t first = 0;;) {
    first += random() % (gap + 1) * kUnitSectors;
    const std::uint64_t count = (random() % kLongestUnits + 1) * kUnitSectors;
    if (first + count > sectors) return mappings;
    mappings.push_back(lsmt::Mapping::data({first, count}, first));
    first += count;
  }
}

void write(const std::string& path, const io::File& content, const lsmt::MappingArray& mappings) {
  const auto file = io::open_writable_file(path, true);
  lsmt::LayerOptions options;
  options.virtual_size = content.size();
  std::uint64_t end = 0;
  lsmt::write_layer(
      mappings, [&](unsigned) -> const io::File& { return content; }, options,
      [&](std::span<const std::byte> bytes) {
        const int error = file->write(bytes, end);
        end += bytes.size();
        return error;
      });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: varve-bench-stack FOLDER LAYERS CONTENT\n");
    return 2;
  }
  try {
    const std::string folder = argv[1];
    const unsigned layers = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
    const auto content = io::open_file(argv[3]);
    const std::uint64_t sectors = content->size() / lsmt::kSectorSize;
    std::mt19937_64 random(layers);
    for (unsigned layer = 0; layer < layers; ++layer) {
      write(folder + "/" + std::to_string(layer), *content,
            layer == 0 ? whole(sectors) : scattered(sectors, layers, random));
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "varve-bench-stack: %s\n", error.what());
    return 1;
  }
}
