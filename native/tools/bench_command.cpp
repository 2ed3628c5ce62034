// varve-layer bench: how quickly a stack answers, by a list of reads.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "io/bytes.h"
#include "syscalls/unique_fd.h"
#include "tools/amounts.h"
#include "tools/clock.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string ranges;
  bool is_index = false;
  bool is_batch = false;
  unsigned threads = 1;
  bool is_json = false;
};

// Of a pipe, too, such as a shell makes for <(...).
std::string read_whole(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) fail(path, "cannot be opened", errno);
  std::string text;
  std::array<char, 64 * kKib> piece{};
  for (;;) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count == 0) return text;
    if (count > 0) text.append(piece.data(), static_cast<std::size_t>(count));
    if (count < 0 && errno != EINTR) fail(path, "cannot be read", errno);
  }
}

std::vector<io::ByteRange> load_ranges(const std::string& path, std::uint64_t size) {
  const std::string text = read_whole(path);
  std::vector<io::ByteRange> ranges;
  try {
    ranges = parse_range_list(text);
  } catch (const std::runtime_error& error) {
    throw Failure(path + ": " + error.what());
  }
  if (ranges.empty()) throw Failure(path + ": names no range to read");
  for (const io::ByteRange& range : ranges) {
    if (range.length == 0 || !io::is_within(range.offset, range.length, size)) {
      throw Failure(path + ": " + std::to_string(range.offset) + " " +
                    std::to_string(range.length) + " is not within the device, which has " +
                    count_text(size, "byte"));
    }
  }
  return ranges;
}

// What one thread did, and what it took.
struct Share {
  std::uint64_t bytes = 0;
  std::uint64_t mappings = 0;
  double cpu_seconds = 0;
  std::exception_ptr failure;
};

// A range may be as large as the device, which no memory holds.
constexpr std::uint64_t kReadMax = 8 * kMib;

void read_range(const io::File& disk, io::ByteRange range, std::span<std::byte> buffer) {
  while (range.length > 0) {
    const std::size_t count = std::min<std::uint64_t>(range.length, buffer.size());
    check(disk.read(buffer.first(count), range.offset), disk.name(),
          "the device cannot be read at " + std::to_string(range.offset));
    range.offset += count;
    range.length -= count;
  }
}

void read_share(const io::File& disk, std::span<const io::ByteRange> ranges, std::uint64_t longest,
                Share& share) {
  std::vector<std::byte> buffer(std::min(longest, kReadMax));
  const double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  for (const io::ByteRange& range : ranges) {
    read_range(disk, range, buffer);
    share.bytes += range.length;
  }
  share.cpu_seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
}

lsmt::SectorRange sectors_of(const io::ByteRange& range) {
  const std::uint64_t first = range.offset / lsmt::kSectorSize;
  return {first, (range.offset + range.length - 1) / lsmt::kSectorSize + 1 - first};
}

// What of a range is left behind the mappings that were found; nothing if they are all.
std::optional<lsmt::SectorRange> rest_of(lsmt::SectorRange range, const lsmt::Found& found) {
  if (found.count < lsmt::kFoundMax) return std::nullopt;
  const std::uint64_t next = found.mappings[found.count - 1].end();
  if (next >= range.end()) return std::nullopt;
  return lsmt::SectorRange{next, range.end() - next};
}

// All that overlaps a range is found, sixteen mappings at a time, as a read does it.
std::uint64_t look_up(const Device& device, std::optional<lsmt::SectorRange> range) {
  lsmt::Found found;
  std::uint64_t mappings = 0;
  while (range) {
    device.find(*range, found);
    mappings += found.count;
    range = rest_of(*range, found);
  }
  return mappings;
}

std::uint64_t look_up_at_once(const Device& device, std::span<const lsmt::SectorRange> ranges) {
  std::array<lsmt::Found, lsmt::kBatchSize> found;
  std::uint64_t mappings = 0;
  while (!ranges.empty()) {
    const std::size_t count = std::min(found.size(), ranges.size());
    device.content().lower->find_all(ranges.first(count), std::span(found).first(count));
    for (std::size_t at = 0; at < count; ++at) {
      mappings += found[at].count + look_up(device, rest_of(ranges[at], found[at]));
    }
    ranges = ranges.subspan(count);
  }
  return mappings;
}

void look_up_share(const Device& device, std::span<const io::ByteRange> ranges, bool is_batch,
                   Share& share) {
  std::vector<lsmt::SectorRange> sectors;
  sectors.reserve(ranges.size());
  for (const io::ByteRange& range : ranges) sectors.push_back(sectors_of(range));
  const double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  if (is_batch) {
    share.mappings = look_up_at_once(device, sectors);
  } else {
    for (const lsmt::SectorRange& range : sectors) share.mappings += look_up(device, range);
  }
  share.cpu_seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
  for (const io::ByteRange& range : ranges) share.bytes += range.length;
}

struct Result {
  Share sum;
  double wall_seconds = 0;
};

// Each thread takes its part of the list, in order.
template <class Work>
Result run_threads(std::span<const io::ByteRange> ranges, unsigned threads, const Work& work) {
  std::vector<Share> shares(threads);
  Result result;
  const double begin = seconds_of(CLOCK_MONOTONIC);
  {
    std::vector<std::jthread> others;
    const auto part = [&](std::size_t number) {
      const std::size_t first = ranges.size() * number / threads;
      const std::size_t end = ranges.size() * (number + 1) / threads;
      try {
        work(ranges.subspan(first, end - first), shares[number]);
      } catch (...) {
        shares[number].failure = std::current_exception();
      }
    };
    for (unsigned number = 1; number < threads; ++number) others.emplace_back(part, number);
    part(0);
  }
  result.wall_seconds = seconds_of(CLOCK_MONOTONIC) - begin;
  for (const Share& share : shares) {
    if (share.failure) std::rethrow_exception(share.failure);
    result.sum.bytes += share.bytes;
    result.sum.mappings += share.mappings;
    result.sum.cpu_seconds += share.cpu_seconds;
  }
  return result;
}

double per_second(std::uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

void print_result(const Options& options, std::uint64_t count, const Result& result) {
  const Share& sum = result.sum;
  const char* what = options.is_index ? "lookups" : "reads";
  if (options.is_json) {
    const auto speeds = [&](double seconds) {
      return nlohmann::ordered_json{{"seconds", seconds},
                                    {std::string(what) + "PerSecond", per_second(count, seconds)},
                                    {"bytesPerSecond", per_second(sum.bytes, seconds)}};
    };
    nlohmann::ordered_json json = {{what, count}, {"bytes", sum.bytes}};
    if (options.is_index) json["mappings"] = sum.mappings;
    json["threads"] = options.threads;
    json["cpu"] = speeds(sum.cpu_seconds);
    json["wall"] = speeds(result.wall_seconds);
    print(json.dump(2) + "\n");
    return;
  }
  const auto line = [&](const char* by, double seconds) {
    char text[128];
    std::snprintf(text, sizeof text, "%-10s %9.3f s  %14.0f %s/s  %s/s\n", by, seconds,
                  per_second(count, seconds), what,
                  size_text(static_cast<std::uint64_t>(per_second(sum.bytes, seconds))).c_str());
    return std::string(text);
  };
  print(std::to_string(count) + " " + what + ", " + exact_size_text(sum.bytes) + ", " +
        count_text(options.threads, "thread") + "\n" + line("CPU time", sum.cpu_seconds) +
        line("wall clock", result.wall_seconds));
}

int bench(const Options& options) {
  const Device device = Device::open(options.path);
  const std::vector<io::ByteRange> ranges = load_ranges(options.ranges, device.size());
  const Content& content = device.content();
  Result result;
  if (options.is_index) {
    if (options.is_batch && content.upper != nullptr) {
      throw Failure(options.path + ": --batch looks ranges up in finished layers, and this image " +
                    "has a writable one; leave it out of the configuration, or --batch away");
    }
    result = run_threads(ranges, options.threads, [&](auto part, Share& share) {
      look_up_share(device, part, options.is_batch, share);
    });
  } else {
    const std::uint64_t longest =
        std::max_element(ranges.begin(), ranges.end(), [](const auto& one, const auto& other) {
          return one.length < other.length;
        })->length;
    result = run_threads(ranges, options.threads, [&](auto part, Share& share) {
      read_share(*content.disk, part, longest, share);
    });
  }
  print_result(options, ranges.size(), result);
  return kDone;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure reads of a device, or lookups in its index");
  command->footer(
      "FILE holds a line \"offset length\" for each read, both in bytes; they are done in order,\n"
      "and with several threads each does its part of the list.");
  command->add_option("CONFIG", options->path, "Configuration of an image, or one layer")
      ->required();
  command->add_option("--ranges", options->ranges, "What to read")->type_name("FILE")->required();
  CLI::Option* index = command->add_flag("--index", options->is_index,
                                         "Only look the ranges up, without reading them");
  command->add_flag("--batch", options->is_batch, "Look sixteen ranges of FILE up at once")
      ->needs(index);
  command->add_option("--threads", options->threads, "Threads that read at once")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  add_json(*command, options->is_json);
  command->callback([options, &action] { action = [options] { return bench(*options); }; });
}

}  // namespace varve::tools
