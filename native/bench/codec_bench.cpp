// varve-bench-codecs FOLDER FILE...: how quick ZFiles are beside the bare codecs on the same
// blocks, and the checksums, as tables in Markdown.
//
// The FILEs one after the other, up to 64 MiB, are the content; the ZFiles lie in FOLDER. Reads are
// of 1 MiB, in order, from the page cache. What is compared takes turns, so that a busy machine is
// busy for all; each figure is the median of the turns. Reading is by this thread's processor time,
// writing by the clock and by the processor time of all threads.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crc32c/crc32c.h"
#include "io/file.h"
#include "io/mapped_file.h"
#include "tools/clock.h"
#include "zfile/codec.h"
#include "zfile/reader.h"
#include "zfile/writer.h"

namespace {

using namespace varve;
using tools::seconds_of;

constexpr std::size_t kContentMax = 64 << 20;
constexpr std::size_t kRequest = 1 << 20;
constexpr int kTurns = 9;

void check(int error, const char* what) {
  if (error == 0) return;
  std::fprintf(stderr, "%s: error %d\n", what, error);
  std::exit(1);
}

// Bytes a second of each of the competitors, which take turns.
std::vector<double> race(clockid_t clock, std::size_t bytes,
                         const std::vector<std::function<void()>>& competitors) {
  std::vector<std::vector<double>> speeds(competitors.size());
  for (int turn = -1; turn < kTurns; ++turn) {
    for (std::size_t one = 0; one < competitors.size(); ++one) {
      const double start = seconds_of(clock);
      competitors[one]();
      const double taken = seconds_of(clock) - start;
      if (turn >= 0) speeds[one].push_back(static_cast<double>(bytes) / taken);
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& list : speeds) {
    std::nth_element(list.begin(), list.begin() + kTurns / 2, list.end());
    medians.push_back(list[kTurns / 2]);
  }
  return medians;
}

std::vector<std::byte> content_of(int count, char** paths) {
  std::vector<std::byte> content;
  for (int one = 0; one < count && content.size() < kContentMax; ++one) {
    const auto file = io::open_file(paths[one]);
    const std::size_t before = content.size();
    content.resize(std::min<std::size_t>(kContentMax, before + file->size()));
    check(file->read(std::span(content).subspan(before), 0), paths[one]);
  }
  return content;
}

// Where the ZFile that is measured lies; deleted as soon as it is open.
std::string path_in(const std::string& folder) { return folder + "/varve-bench-codecs"; }

std::unique_ptr<io::WritableFile> temporary(const std::string& folder) {
  const std::string path = path_in(folder);
  ::unlink(path.c_str());
  auto file = io::open_writable_file(path, true);
  ::unlink(path.c_str());
  return file;
}

// The blocks of a file as the bare codec gets them: in memory, without their sums.
struct Blocks {
  std::vector<std::byte> stored;
  std::vector<std::span<const std::byte>> list;
};

Blocks blocks_of(const zfile::ZFile& file) {
  Blocks blocks;
  blocks.stored.resize(file.source().size());
  check(file.source().read(blocks.stored, 0), "reading blocks");
  const std::size_t sum = file.header().has_sums != 0 ? zfile::kSumSize : 0;
  for (std::uint64_t block = 0; block < file.index().block_count(); ++block) {
    const std::uint64_t begin = file.index().offset_of(block);
    const std::uint64_t end = file.index().offset_of(block + 1);
    blocks.list.push_back(std::span(blocks.stored).subspan(begin, end - begin - sum));
  }
  return blocks;
}

void measure_reading(const std::string& folder, const io::File& content,
                     const zfile::WriteOptions& options) {
  const std::string path = path_in(folder);
  auto target = io::open_writable_file(path, true);
  zfile::WriteSummary summary;
  check(zfile::compress(content, *target, options, summary), "compressing");
  const zfile::ZFile file(std::move(target), nullptr);
  const zfile::ZFile mapped(io::open_mapped_file(path), nullptr);
  ::unlink(path.c_str());
  const Blocks blocks = blocks_of(file);
  std::vector<std::byte> buffer(kRequest);
  zfile::Decompressor decompressor;
  const std::size_t block_size = options.block_size;

  const auto bare = [&] {
    for (std::size_t block = 0; block < blocks.list.size(); ++block) {
      const std::size_t begin = block * block_size;
      const std::size_t length = std::min<std::size_t>(block_size, file.size() - begin);
      check(decompressor.decompress(options.algorithm, blocks.list[block],
                                    std::span(buffer).subspan(begin % kRequest, length)),
            "bare codec");
    }
  };
  const auto read = [&](const zfile::ZFile& from) {
    for (std::uint64_t offset = 0; offset < from.size(); offset += kRequest) {
      const std::size_t length = std::min<std::uint64_t>(kRequest, from.size() - offset);
      check(from.read(std::span(buffer).first(length), offset), "ZFile");
    }
  };
  const std::vector<double> speeds = race(CLOCK_THREAD_CPUTIME_ID, file.size(),
                                          {bare, [&] { read(file); }, [&] { read(mapped); }});
  std::printf("| %s, %zu KiB, %s | %.0f %% | %.0f MB/s | %.0f MB/s (%.2f×) | %.0f MB/s (%.2f×) |\n",
              name_of(options.algorithm), block_size >> 10,
              options.has_sums ? "checksums" : "no checksums",
              100.0 * static_cast<double>(summary.file_size) / static_cast<double>(file.size()),
              speeds[0] / 1e6, speeds[1] / 1e6, speeds[1] / speeds[0], speeds[2] / 1e6,
              speeds[2] / speeds[0]);
}

void measure_writing(const std::string& folder, const io::File& content,
                     const std::vector<std::byte>& bytes, const zfile::WriteOptions& options) {
  zfile::Compressor compressor(options.algorithm);
  std::vector<std::byte> stored(options.block_size + zfile::kExpansionMax);
  const auto bare = [&] {
    for (std::size_t begin = 0; begin < bytes.size(); begin += options.block_size) {
      const std::size_t length = std::min<std::size_t>(options.block_size, bytes.size() - begin);
      static_cast<void>(compressor.compress(std::span(bytes).subspan(begin, length), stored));
    }
  };
  const auto write = [&](unsigned threads) {
    auto target = temporary(folder);
    zfile::WriteOptions with_threads = options;
    with_threads.threads = threads;
    zfile::WriteSummary summary;
    check(zfile::compress(content, *target, with_threads, summary), "compressing");
  };
  const std::vector<double> speeds =
      race(CLOCK_MONOTONIC, bytes.size(), {bare, [&] { write(1); }, [&] { write(2); }});
  const std::vector<double> work =
      race(CLOCK_PROCESS_CPUTIME_ID, bytes.size(), {bare, [&] { write(2); }});
  std::printf("| %s, %u KiB | %.0f MB/s | %.0f MB/s | %.0f MB/s (%.2f×) | %.2f× |\n",
              name_of(options.algorithm), options.block_size >> 10, speeds[0] / 1e6,
              speeds[1] / 1e6, speeds[2] / 1e6, speeds[2] / speeds[0] / 2, work[1] / work[0]);
}

void measure_sums(const std::vector<std::byte>& bytes) {
  std::printf("\n| CRC-32C of |");
  constexpr std::array kWays = {crc32c::Way::table, crc32c::Way::sse42, crc32c::Way::avx512};
  for (const auto way : kWays) std::printf(" %s |", name_of(way));
  std::printf("\n|---|--:|--:|--:|\n");
  for (const std::size_t length : {512U, 2048U, 65536U}) {
    std::uint32_t sum = 0;
    const auto by = [&](crc32c::Way way) {
      return [&, way] {
        for (std::size_t turn = 0; turn < kContentMax / length; ++turn) {
          sum = crc32c::update_by(way, sum, std::span(bytes).first(length));
        }
      };
    };
    std::printf("| %zu bytes |", length);
    for (const auto way : kWays) {
      if (crc32c::is_supported(way)) {
        const double speed = race(CLOCK_THREAD_CPUTIME_ID, kContentMax, {by(way)})[0];
        std::printf(" %.1f GB/s |", speed / 1e9);
      } else {
        std::printf(" |");
      }
    }
    std::printf(sum == 1 ? " \n" : "\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: varve-bench-codecs FOLDER FILE...\n");
    return 2;
  }
  try {
    const std::string folder = argv[1];
    const std::vector<std::byte> bytes = content_of(argc - 2, argv + 2);
    const auto content = temporary(folder);
    check(content->write(bytes, 0), "writing the content");
    std::printf("| reading | stored | bare codec | by pread | from the mapped file |\n");
    std::printf("|---|--:|--:|--:|--:|\n");
    for (const zfile::Algorithm algorithm : {zfile::Algorithm::lz4, zfile::Algorithm::zstd}) {
      for (const std::uint32_t block_size : {4096U, 65536U}) {
        for (const bool has_sums : {false, true}) {
          measure_reading(folder, *content,
                          {.algorithm = algorithm, .block_size = block_size, .has_sums = has_sums});
        }
      }
    }
    std::printf("\n| writing | one compressor | 1 thread | 2 threads (of two compressors) | ");
    std::printf("the same by processor time |\n|---|--:|--:|--:|--:|\n");
    for (const zfile::Algorithm algorithm : {zfile::Algorithm::lz4, zfile::Algorithm::zstd}) {
      for (const std::uint32_t block_size : {4096U, 65536U}) {
        measure_writing(folder, *content, bytes,
                        {.algorithm = algorithm, .block_size = block_size});
      }
    }
    measure_sums(bytes);
    return 0;
  } catch (const io::FormatError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
