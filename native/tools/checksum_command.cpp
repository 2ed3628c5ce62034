// varve-layer checksum: the SHA-256 of a device's content, of all of it or of parts.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "io/bytes.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/progress.h"
#include "tools/work_in_order.h"
#include "sha256/sha256.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string index;
  std::vector<std::string> ranges;
  bool is_json = false;
};

// What is hashed at once. Nothing is read for zeros: they come from memory.
struct Part {
  Run run;
  std::vector<std::byte> data{};  // as long as the longest run so far
};

void add_zeros(Sha256& sha256, std::uint64_t length, Progress& progress) {
  static const std::vector<std::byte> zeros(kMib);
  while (length > 0) {
    const std::size_t count = std::min<std::uint64_t>(length, zeros.size());
    sha256.add({zeros.data(), count});
    length -= count;
    progress.add(count);
  }
}

// Several threads read, one hashes.
std::string hash(const Device& device, const io::ByteRange& range, Progress& progress) {
  Sha256 sha256;
  const io::File& disk = *device.content().disk;
  std::uint64_t offset = range.offset;
  const std::uint64_t end = range.offset + range.length;
  work_in_order<Part>(
      [&]() -> std::optional<std::pair<std::uint64_t, Run>> {
        if (offset == end) return std::nullopt;
        const std::uint64_t begin = offset;
        const Run run = next_piece(device.content(), begin, end);
        offset += run.length;
        return std::pair(begin, run);
      },
      [&](const std::pair<std::uint64_t, Run>& piece, Part& part) {
        part.run = piece.second;
        if (part.run.is_zeros) return;
        part.data.resize(std::max(part.data.size(), part.run.length));
        check(disk.read(std::span(part.data).first(part.run.length), piece.first), disk.name(),
              "the device cannot be read at " + std::to_string(piece.first));
      },
      [&](const Part& part) {
        if (part.run.is_zeros) {
          add_zeros(sha256, part.run.length, progress);
        } else {
          sha256.add(std::span(part.data).first(part.run.length));
          progress.add(part.run.length);
        }
      });
  return sha256.digest();
}

std::vector<io::ByteRange> ranges_of(const Options& options, std::uint64_t size) {
  std::vector<io::ByteRange> ranges;
  for (const std::string& text : options.ranges) {
    const std::optional<io::ByteRange> range = parse_range(text);
    if (!range) {
      throw Misuse("--range " + printable(text) +
                   ": is no OFFSET:LENGTH, such as 0:4096 or 1G:64K");
    }
    if (!io::is_within(range->offset, range->length, size)) {
      throw Failure("--range " + text + ": ends behind the device, which has " +
                    exact_size_text(size));
    }
    ranges.push_back(*range);
  }
  if (ranges.empty()) ranges.push_back({0, size});
  return ranges;
}

int checksum(const Options& options) {
  const Device device = Device::open(options.path, options.index);
  const std::vector<io::ByteRange> ranges = ranges_of(options, device.size());
  std::uint64_t total = 0;
  for (const io::ByteRange& range : ranges) total += range.length;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::string text;
  {
    Progress progress("checksum", total);
    for (const io::ByteRange& range : ranges) {
      const std::string sha256 = hash(device, range, progress);
      text += sha256 + "\n";
      json.push_back({{"offset", range.offset}, {"length", range.length}, {"sha256", sha256}});
    }
  }
  print(options.is_json ? json.dump(2) + "\n" : text);
  return kDone;
}

}  // namespace

void add_checksum(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("checksum", "SHA-256 of a device's content, whole or in ranges");
  command->footer(
      "One line for each range, in their order, or one for the whole device.\n"
      "Examples:\n"
      "  varve-layer checksum config.v1.json\n"
      "  varve-layer checksum config.v1.json --range 0:4096 --range 1G:64K");
  command->add_option("CONFIG", options->path, "Configuration of an image, or one layer")
      ->required();
  command->add_option("--range", options->ranges, "Part of the device")
      ->type_name("OFFSET:LENGTH")
      ->expected(1)
      ->take_all();
  command->add_option("--index", options->index, "Index file of a writable layer");
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return checksum(*options); }; });
}

}  // namespace varve::tools
