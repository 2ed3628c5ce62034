// varve-layer file-system: which file system is on a device, by its superblock.
#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "io/bytes.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"

namespace varve::tools {

namespace {

using namespace std::string_view_literals;

struct Options {
  std::string path;
  std::string index;
  bool is_json = false;
};

// Bytes at a place that no other file system has there.
struct Superblock {
  std::string_view name;  // as mount(2) takes it
  std::size_t offset;
  std::string_view magic;
};

// ext2 and ext3 are mounted as ext4, too.
constexpr std::array kSuperblocks = {
    Superblock{"ext4", 1024 + 56, "\x53\xef"sv},
    Superblock{"xfs", 0, "XFSB"sv},
    Superblock{"erofs", 1024, "\xe2\xe1\xf5\xe0"sv},
    Superblock{"f2fs", 1024, "\x10\x20\xf5\xf2"sv},
    Superblock{"ntfs", 3, "NTFS    "sv},
};

int file_system(const Options& options) {
  const Device device = Device::open(options.path, options.index);
  std::array<std::byte, 4096> begin{};
  const std::size_t length = std::min<std::uint64_t>(begin.size(), device.size());
  const io::File& disk = *device.content().disk;
  check(disk.read(std::span(begin).first(length), 0), disk.name(), "the device cannot be read");
  const auto* found = std::find_if(
      kSuperblocks.begin(), kSuperblocks.end(), [&](const Superblock& superblock) {
        return std::memcmp(begin.data() + superblock.offset, superblock.magic.data(),
                           superblock.magic.size()) == 0;
      });
  if (found == kSuperblocks.end()) {
    throw Failure(options.path + ": begins like no file system that is known here, which are ext4, " +
                  "xfs, erofs, f2fs and ntfs");
  }
  const nlohmann::ordered_json json = {{"fileSystem", found->name}, {"sizeBytes", device.size()}};
  print(options.is_json ? json.dump(2) + "\n" : std::string(found->name) + "\n");
  return kDone;
}

}  // namespace

void add_file_system(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("file-system", "Which file system is on a device");
  command->footer("Example:\n  varve-layer file-system config.v1.json");
  command->add_option("CONFIG", options->path, "Configuration of an image, or one layer")
      ->required();
  command->add_option("--index", options->index, "Index file of a writable layer");
  add_json(*command, options->is_json);
  command->callback([options, &action] { action = [options] { return file_system(*options); }; });
}

}  // namespace varve::tools
