// Lookups a second in indexes of 1 k to 1 M mappings, each set of instructions that the processor
// has, beside a plain binary search over the same mappings in the same run; and how long opening
// the largest takes. One thread, its own CPU time, the best of several rounds; rounds of the
// candidates take turns, so that a noisy machine treats them alike.
//
// The plain search runs over an ordinary vector, which has ordinary pages.
//
// Two kinds of content: what a file system makes (runs of 4 KiB blocks with holes, reads of one
// block, so a lookup meets one mapping at most), and ragged (runs of 1 to 31 sectors, reads of 8
// from anywhere, so most meet two).
//
// With --json, a list of objects instead of the text: one for each content, number of mappings and
// candidate, then one for each opening.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "io/file.h"
#include "lsmt/header.h"
#include "lsmt/read_only_layer.h"
#include "lsmt/read_only_stack.h"
#include "tools/clock.h"

namespace varve::lsmt {
namespace {

// In each round; as many different ones as there are mappings, and at least kDistinct.
constexpr std::size_t kLookups = 1 << 20;
constexpr std::size_t kDistinct = 1 << 16;

struct Content {
  const char* name;
  std::uint64_t unit;         // sectors that everything is a multiple of
  std::uint64_t longest;      // units
  std::uint64_t gap_one_in;
  std::uint64_t read_sectors;
};

constexpr Content kContents[] = {{"blocks of 4 KiB", 8, 16, 4, 8}, {"ragged", 1, 31, 8, 8}};

MappingArray mappings_of(const Content& content, std::size_t count, std::mt19937_64& random) {
  MappingArray mappings(count);
  std::uint64_t sector = 0;
  for (std::size_t at = 0; at < count; ++at) {
    const std::uint64_t length = (random() % content.longest + 1) * content.unit;
    mappings.push_back(random() % 16 == 0 ? Mapping::zeros({sector, length}, 8)
                                          : Mapping::data({sector, length}, sector + 8));
    sector += length;
    if (random() % content.gap_one_in == 0) sector += (random() % content.longest) * content.unit;
  }
  return mappings;
}

MappingArray copy_of(const MappingArray& mappings) {
  MappingArray copy(mappings.size());
  for (const Mapping& mapping : mappings) copy.push_back(mapping);
  return copy;
}

// The same answer by a plain binary search for the first mapping that ends behind the start.
std::size_t plain_find(const std::vector<Mapping>& mappings, SectorRange range, Mapping* found) {
  auto at =
      std::lower_bound(mappings.begin(), mappings.end(), range.first,
                       [](const Mapping& mapping, std::uint64_t first) {
                         return mapping.end() <= first;
                       });
  std::size_t count = 0;
  for (; at != mappings.end() && at->first() < range.end() && count < kFoundMax; ++at) {
    found[count++] = *at;
  }
  if (count > 0) {
    found[0] = found[0].trimmed(range);
    found[count - 1] = found[count - 1].trimmed(range);
  }
  return count;
}

struct Candidate {
  std::string name;
  std::function<std::uint64_t()> run;  // answers something that depends on all it found
  double best_seconds = 1e9;
};

using Json = nlohmann::ordered_json;

// Prints as it goes, or gathers for the end.
struct Report {
  bool is_json = false;
  Json list = Json::array();
};

void measure(const Content& content, std::size_t count, Report& report) {
  std::mt19937_64 random(count);
  const MappingArray mappings = mappings_of(content, count, random);
  const std::uint64_t sectors = mappings[count - 1].end();
  const std::vector<Mapping> plain(mappings.begin(), mappings.end());
  std::vector<SectorRange> ranges(std::min(kLookups, std::max(kDistinct, count / 16 * 16)));
  const std::size_t turns = kLookups / ranges.size();
  for (SectorRange& range : ranges) {
    const std::uint64_t last = (sectors - content.read_sectors) / content.unit;
    range = {random() % last * content.unit, content.read_sectors};
  }
  const auto sum_of = [](const Mapping& mapping) { return mapping.first() + mapping.data_first(); };

  std::vector<Candidate> candidates;
  candidates.push_back({"plain binary search", [&] {
                          std::uint64_t sum = 0;
                          Found found;
                          for (const SectorRange& range : ranges) {
                            const std::size_t met =
                                plain_find(plain, range, found.mappings.data());
                            sum += met + sum_of(found.mappings[0]);
                          }
                          return sum;
                        }});
  std::vector<std::unique_ptr<Index>> indexes;
  for (const LookupSet* set : lookup_sets()) {
    indexes.push_back(std::make_unique<Index>(copy_of(mappings), *set));
    const Index& index = *indexes.back();
    candidates.push_back({set->name, [&ranges, &index, &sum_of] {
                            std::uint64_t sum = 0;
                            Found found;
                            for (const SectorRange& range : ranges) {
                              index.find(range, found);
                              sum += found.count + sum_of(found.mappings[0]);
                            }
                            return sum;
                          }});
    candidates.push_back({std::string(set->name) + ", batches of 16", [&ranges, &index, &sum_of] {
                            std::uint64_t sum = 0;
                            std::vector<Found> found(kBatchSize);
                            for (std::size_t at = 0; at < ranges.size(); at += kBatchSize) {
                              index.find_all({&ranges[at], kBatchSize}, found);
                              for (const Found& one : found) {
                                sum += one.count + sum_of(one.mappings[0]);
                              }
                            }
                            return sum;
                          }});
  }
  volatile std::uint64_t keep = 0;
  for (unsigned round = 0; round < 9; ++round) {
    for (Candidate& candidate : candidates) {
      const double begin = tools::seconds_of(CLOCK_THREAD_CPUTIME_ID);
      for (std::size_t turn = 0; turn < turns; ++turn) keep = keep + candidate.run();
      candidate.best_seconds = std::min(candidate.best_seconds,
                                        tools::seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin);
    }
  }
  if (!report.is_json) std::printf("%s, %zu mappings\n", content.name, count);
  for (const Candidate& candidate : candidates) {
    const double million_a_second =
        static_cast<double>(turns * ranges.size()) / candidate.best_seconds * 1e-6;
    const double ratio = candidates[0].best_seconds / candidate.best_seconds;
    if (report.is_json) {
      report.list.push_back({{"content", content.name},
                             {"mappings", count},
                             {"candidate", candidate.name},
                             {"millionLookupsPerSecond", million_a_second},
                             {"ratioToPlain", ratio}});
    } else {
      std::printf("  %-28s %7.1f M/s  %5.2f x\n", candidate.name.c_str(), million_a_second, ratio);
    }
  }
}

// A layer that lies in memory, like one whose file is in the page cache.
class LayerInMemory final : public io::File {
 public:
  explicit LayerInMemory(const MappingArray& mappings) {
    Header header;
    header.is_header = true;
    header.is_data = true;
    header.virtual_size = mappings[mappings.size() - 1].end() * kSectorSize;
    append(header.encode());
    // Data that is not there: its place is before the index, wherever that lies.
    index_offset_ = header.virtual_size + kHeaderBytes;
    append(std::as_bytes(std::span(mappings.begin(), mappings.end())));
    header.is_header = false;
    header.is_sealed = true;
    header.index_offset = index_offset_;
    header.index_count = mappings.size();
    append(header.encode());
  }

  [[nodiscard]] std::uint64_t size() const noexcept override {
    return index_offset_ + bytes_.size() - kHeaderBytes;
  }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    const std::uint64_t from = offset == 0 ? 0 : offset - index_offset_ + kHeaderBytes;
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(from), destination.size(),
                destination.begin());
    return 0;
  }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::byte> bytes_;
  std::uint64_t index_offset_ = 0;
  std::string name_ = "layer";
};

void measure_opening(std::size_t layers, std::size_t mappings_each, Report& report) {
  std::mt19937_64 random(1);
  std::vector<std::shared_ptr<LayerInMemory>> files;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    files.push_back(
        std::make_shared<LayerInMemory>(mappings_of(kContents[0], mappings_each, random)));
  }
  double best = 1e9;
  double first = 0;
  for (unsigned round = 0; round < 7; ++round) {
    const double begin = tools::seconds_of(CLOCK_MONOTONIC) * 1e3;
    std::vector<ReadOnlyLayer> opened;
    for (const auto& file : files) opened.push_back(open_read_only_layer(file));
    const ReadOnlyStack stack(std::move(opened), "stack");
    const double took = tools::seconds_of(CLOCK_MONOTONIC) * 1e3 - begin;
    if (round == 0) first = took;
    best = std::min(best, took);
  }
  if (report.is_json) {
    report.list.push_back({{"layers", layers},
                           {"mappingsEach", mappings_each},
                           {"bestOpeningMs", best},
                           {"firstOpeningMs", first}});
    return;
  }
  std::printf("opening %zu layer(s) of %zu mappings: %.1f ms, the first time %.1f ms\n", layers,
              mappings_each, best, first);
}

}  // namespace
}  // namespace varve::lsmt

// [--json] [LARGEST]: the largest number of mappings to measure.
int main(int count_of_arguments, char** arguments) {
  using namespace varve::lsmt;
  Report report;
  std::size_t largest = 1'000'000;
  for (const std::string argument : std::vector(arguments + 1, arguments + count_of_arguments)) {
    if (argument == "--json") {
      report.is_json = true;
    } else {
      largest = std::strtoull(argument.c_str(), nullptr, 10);
    }
  }
  for (const Content& content : kContents) {
    for (const std::size_t count : {1'000U, 10'000U, 100'000U, 1'000'000U}) {
      if (count <= largest) measure(content, count, report);
    }
  }
  measure_opening(1, 1'000'000, report);
  measure_opening(10, 100'000, report);
  measure_opening(50, 20'000, report);
  if (report.is_json) std::printf("%s\n", report.list.dump(2).c_str());
  return 0;
}
