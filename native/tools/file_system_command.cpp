// varve-layer file-system: which file system is on a device, by its superblock, and whether it was
// unmounted.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
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

// Of struct ext4_super_block.
constexpr std::size_t kExt4StateAt = 1024 + 0x3a;
constexpr std::uint16_t kExt4WasUnmounted = 1;
constexpr std::size_t kExt4IncompatibleAt = 1024 + 0x60;
constexpr std::uint32_t kExt4NeedsRecovery = 4;

// One without a journal says by its state that it was unmounted, one with a journal by that it need
// not be replayed. Null for file systems of which that is not known here.
nlohmann::ordered_json was_unmounted(const Superblock& found, std::span<const std::byte> begin) {
  if (found.name != "ext4") return nullptr;
  const auto state = io::load<std::uint16_t>(&begin[kExt4StateAt]);
  const auto incompatible = io::load<std::uint32_t>(&begin[kExt4IncompatibleAt]);
  return (state & kExt4WasUnmounted) != 0 && (incompatible & kExt4NeedsRecovery) == 0;
}

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
  const nlohmann::ordered_json json = {{"fileSystem", found->name},
                                       {"sizeBytes", device.size()},
                                       {"wasUnmounted", was_unmounted(*found, begin)}};
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
