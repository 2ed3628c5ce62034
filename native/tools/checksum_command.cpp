// varve-layer checksum: the SHA-256 of a device's content, of all of it or of parts.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/bytes.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/progress.h"
#include "sha256/sha256.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string index;
  std::vector<std::string> ranges;
  bool is_json = false;
};

// Hashes stretches of a device. Zeros come from memory: nothing is read for them.
class Hasher {
 public:
  explicit Hasher(const Device& device) : device_(device), buffer_(kMib), zeros_(kMib) {}

  std::string hash(const io::ByteRange& range, Progress& progress) {
    Sha256 sha256;
    const std::uint64_t end = range.offset + range.length;
    for (std::uint64_t offset = range.offset; offset < end;) {
      const Run run = next_run(device_.content(), offset, end);
      if (run.is_zeros) {
        add_zeros(sha256, run.length, progress);
      } else {
        add_data(sha256, {offset, run.length}, progress);
      }
      offset += run.length;
    }
    return sha256.digest();
  }

 private:
  void add_zeros(Sha256& sha256, std::uint64_t length, Progress& progress) {
    while (length > 0) {
      const std::size_t count = std::min<std::uint64_t>(length, zeros_.size());
      sha256.add({zeros_.data(), count});
      length -= count;
      progress.add(count);
    }
  }

  void add_data(Sha256& sha256, io::ByteRange range, Progress& progress) {
    const io::File& disk = *device_.content().disk;
    while (range.length > 0) {
      const std::size_t count = std::min<std::uint64_t>(range.length, buffer_.size());
      const std::span<std::byte> piece(buffer_.data(), count);
      check(disk.read(piece, range.offset), disk.name(),
            "the device cannot be read at " + std::to_string(range.offset));
      sha256.add(piece);
      range.offset += count;
      range.length -= count;
      progress.add(count);
    }
  }

  const Device& device_;
  std::vector<std::byte> buffer_;
  std::vector<std::byte> zeros_;
};

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
    Hasher hasher(device);
    for (const io::ByteRange& range : ranges) {
      const std::string sha256 = hasher.hash(range, progress);
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
  command->callback([options, &action] { action = [options] { return checksum(*options); }; });
}

}  // namespace varve::tools
