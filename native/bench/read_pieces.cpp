// varve-bench-pieces CONFIG RANGES: what reading the ranges of a stack costs at the least: pread of
// the pieces that the index gives, and for compressed layers the bare codec on their blocks, without
// checksums. Where the pieces lie is found before the clock runs. Prints the seconds of processor
// time and by the clock, as JSON.
//
// RANGES holds lines "offset length", as varve-layer bench takes them.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "image/image.h"
#include "image/image_config.h"
#include "lsmt/read_only_stack.h"
#include "tools/clock.h"
#include "zfile/codec.h"
#include "zfile/reader.h"

namespace {

using namespace varve;
using tools::seconds_of;

// Fits into the second-level cache, with what is decoded from it.
constexpr std::uint64_t kStoredMax = 128 << 10;

struct Block {
  std::uint32_t stored = 0;  // bytes, without the sum
  std::uint32_t length = 0;  // of the content
};

// One pread.
struct Piece {
  int descriptor = -1;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t destination = 0;
  // Of compressed data: its blocks, and the part of their content that is wanted.
  std::uint32_t block_first = 0;
  std::uint32_t block_count = 0;
  std::uint32_t skipped = 0;
  std::uint32_t wanted = 0;
  std::uint32_t after_block = 0;  // bytes that lie behind each stored block: its sum
  zfile::Algorithm algorithm{};
};

struct Work {
  std::vector<Piece> pieces;
  std::vector<Block> blocks;
  std::uint64_t longest = 0;
};

class Pieces {
 public:
  explicit Pieces(const image::Image& image) : image_(image) {
    for (const image::ImageLayer& layer : image.layers()) {
      descriptors_.push_back(::open(layer.file.name.c_str(), O_RDONLY | O_CLOEXEC));
      if (descriptors_.back() < 0) throw std::runtime_error(layer.file.name + ": cannot be opened");
    }
  }

  void add(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = offset + length;
    lsmt::Found found;
    lsmt::SectorRange range{offset / lsmt::kSectorSize, length / lsmt::kSectorSize};
    for (;;) {
      image_.lowers()->index().find(range, found);
      for (std::size_t at = 0; at < found.count; ++at) add_mapping(found.mappings[at], offset);
      if (found.count < lsmt::kFoundMax) break;
      const std::uint64_t next = found.mappings[found.count - 1].end();
      if (next * lsmt::kSectorSize >= end) break;
      range = {next, end / lsmt::kSectorSize - next};
    }
    work_.longest = std::max(work_.longest, length);
  }

  [[nodiscard]] const Work& work() const { return work_; }

 private:
  void add_mapping(const lsmt::Mapping& mapping, std::uint64_t offset) {
    if (mapping.is_zeroed()) throw std::runtime_error("only data is measured");
    const image::LayerFile& file = image_.layers()[mapping.layer()].file;
    const std::uint64_t data = mapping.data_first() * lsmt::kSectorSize;
    const std::uint64_t length = mapping.count() * lsmt::kSectorSize;
    const auto place = static_cast<std::uint32_t>(mapping.first() * lsmt::kSectorSize - offset);
    const auto* compressed = dynamic_cast<const zfile::ZFile*>(file.content.get());
    if (compressed == nullptr) {
      // Neighbours are one piece, as they are for whoever reads them.
      if (!work_.pieces.empty()) {
        Piece& last = work_.pieces.back();
        if (last.destination + last.length == place && place > 0 &&
            last.descriptor == descriptors_[mapping.layer()] && last.offset + last.length == data) {
          last.length += static_cast<std::uint32_t>(length);
          return;
        }
      }
      Piece piece;
      piece.descriptor = descriptors_[mapping.layer()];
      piece.offset = data;
      piece.length = static_cast<std::uint32_t>(length);
      piece.destination = place;
      work_.pieces.push_back(piece);
      return;
    }
    add_compressed(*compressed, descriptors_[mapping.layer()], {data, length}, place);
  }

  void add_compressed(const zfile::ZFile& file, int descriptor, io::ByteRange data,
                      std::uint32_t place) {
    const std::uint64_t size = file.header().block_size;
    const std::uint64_t end = data.offset + data.length;
    const std::uint32_t sum = file.header().has_sums != 0 ? 4 : 0;
    std::uint64_t block = data.offset / size;
    while (block * size < end) {
      Piece piece;
      piece.descriptor = descriptor;
      piece.offset = file.index().offset_of(block);
      piece.block_first = static_cast<std::uint32_t>(work_.blocks.size());
      piece.algorithm = file.algorithm();
      piece.after_block = sum;
      const std::uint64_t content_begin = block * size;
      const std::uint64_t begin = std::max(data.offset, content_begin);
      piece.destination = place + static_cast<std::uint32_t>(begin - data.offset);
      piece.skipped = static_cast<std::uint32_t>(begin - content_begin);
      while (block * size < end &&
             (piece.block_count == 0 ||
              file.index().offset_of(block + 1) - piece.offset <= kStoredMax)) {
        const std::uint64_t stored =
            file.index().offset_of(block + 1) - file.index().offset_of(block);
        work_.blocks.push_back(
            {static_cast<std::uint32_t>(stored - sum),
             static_cast<std::uint32_t>(std::min(size, file.size() - block * size))});
        ++piece.block_count;
        ++block;
      }
      piece.length = static_cast<std::uint32_t>(file.index().offset_of(block) - piece.offset);
      piece.wanted = static_cast<std::uint32_t>(std::min(end, block * size) - begin);
      work_.pieces.push_back(piece);
    }
  }

  const image::Image& image_;
  std::vector<int> descriptors_;
  Work work_;
};

class Reader {
 public:
  explicit Reader(const Work& work)
      : work_(work), destination_(work.longest), stored_(2 * kStoredMax), content_(64 << 10) {}

  void run() {
    for (const Piece& piece : work_.pieces) {
      std::byte* target =
          piece.block_count == 0 ? &destination_[piece.destination] : stored_.data();
      if (::pread(piece.descriptor, target, piece.length, static_cast<off_t>(piece.offset)) !=
          static_cast<ssize_t>(piece.length)) {
        throw std::runtime_error("a piece cannot be read");
      }
      if (piece.block_count > 0) decode(piece);
    }
  }

 private:
  void decode(const Piece& piece) {
    const std::byte* stored = stored_.data();
    std::byte* target = &destination_[piece.destination];
    std::uint32_t skipped = piece.skipped;
    std::uint32_t left = piece.wanted;
    for (std::uint32_t at = 0; at < piece.block_count; ++at) {
      const Block& block = work_.blocks[piece.block_first + at];
      const std::uint32_t part = std::min(block.length - skipped, left);
      std::byte* content = part == block.length ? target : content_.data();
      if (decompressor_.decompress(piece.algorithm, {stored, block.stored},
                                   {content, block.length}) != 0) {
        throw std::runtime_error("a block does not decompress");
      }
      if (content != target) std::memcpy(target, content + skipped, part);
      stored += block.stored + piece.after_block;
      target += part;
      left -= part;
      skipped = 0;
    }
  }

  const Work& work_;
  std::vector<std::byte> destination_;
  std::vector<std::byte> stored_;
  std::vector<std::byte> content_;
  zfile::Decompressor decompressor_;
};

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: varve-bench-pieces CONFIG RANGES\n");
    return 2;
  }
  try {
    const auto image =
        image::Image::open(image::load_image_config(argv[1]), {.folder = folder_of(argv[1])});
    Pieces pieces(*image);
    std::ifstream ranges(argv[2]);
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t count = 0;
    for (; ranges >> offset >> length; ++count) pieces.add(offset, length);
    Reader reader(pieces.work());
    const double cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    const double wall = seconds_of(CLOCK_MONOTONIC);
    reader.run();
    std::printf("{\"reads\": %llu, \"cpuSeconds\": %.6f, \"wallSeconds\": %.6f}\n",
                static_cast<unsigned long long>(count), seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu,
                seconds_of(CLOCK_MONOTONIC) - wall);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "varve-bench-pieces: %s\n", error.what());
    return 1;
  }
}
