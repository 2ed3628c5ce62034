// varve-layer create: the two files of an empty writable layer.
#include <algorithm>

#include "apply/apply.h"
#include "io/same_file.h"
#include "lsmt/writable_layer.h"
#include "lsmt/writable_stack.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/failure.h"
#include "tools/outputs.h"

namespace varve::tools {

namespace {

struct Options {
  std::string data;
  std::string index;
  std::string size_gib;
  std::string size;
  bool is_sparse = false;
  bool makes_file_system = false;
  IdentityOptions identity;
};

std::uint64_t virtual_size(const Options& options) {
  const bool is_positional = !options.size_gib.empty();
  if (is_positional == !options.size.empty()) {
    throw Misuse(
        "give the size of the device once: as third argument, where a plain number counts "
        "GiB, or with --size, where it counts bytes");
  }
  const std::string& text = is_positional ? options.size_gib : options.size;
  const std::optional<std::uint64_t> size = parse_size(text, is_positional ? kGib : 1);
  const std::string reminder =
      is_positional ? "; a plain number counts GiB here, --size takes bytes" : "";
  if (!size || *size > lsmt::kVirtualSizeMax) {
    throw Misuse(printable(text) + " is no size that a device can have, which is a number up to " +
                 std::to_string(lsmt::kVirtualSizeMax) + " bytes, such as 512M, 64G or 2T" +
                 reminder);
  }
  if (*size % lsmt::kSectorSize != 0) {
    throw Misuse(printable(text) + " is no whole number of sectors of 512 bytes");
  }
  return *size;
}

// Two empty blocks, which are a tar without an entry.
class EmptyArchive final : public apply::ByteStream {
 public:
  std::size_t read(std::span<std::byte> destination) override {
    const std::size_t count = std::min(left_, destination.size());
    std::fill_n(destination.begin(), count, std::byte{});
    left_ -= count;
    return count;
  }

 private:
  std::size_t left_ = 1024;
};

void make_file_system(std::unique_ptr<lsmt::WritableLayer> layer, const std::string& name) {
  lsmt::WritableStack stack(std::move(layer), nullptr, name);
  apply::StackStore store(stack);
  apply::ApplyOptions options;
  options.makes_file_system = true;
  apply::apply_tar(std::make_unique<EmptyArchive>(), "the file system", store, options);
  check(stack.upper().flush(), name, "the layer cannot be made durable");
}

int create(const Options& options) {
  const lsmt::LayerOptions identity = layer_options(options.identity);
  lsmt::NewLayer layer;
  layer.virtual_size = virtual_size(options);
  layer.is_sparse = options.is_sparse;
  layer.uuid = identity.uuid;
  layer.parent_uuid = identity.parent_uuid;
  layer.user_tag = identity.user_tag;

  if (options.makes_file_system && layer.virtual_size == 0) {
    throw Misuse("--mkfs needs the size of the device, which is 0 here");
  }

  if (io::is_same_file(options.data, options.index)) {
    throw Misuse(printable(options.data) + ": DATA and INDEX are two files; give two names");
  }

  OutputFile data = open_output(options.data, Existing::kRefuse, {});
  OutputFile index = open_output(options.index, Existing::kRefuse, {});
  auto made = lsmt::WritableLayer::create(data.take_file(), index.take_file(), layer);
  if (options.makes_file_system) make_file_system(std::move(made), options.data);
  data.publish();
  try {
    index.publish();
  } catch (...) {
    data.retract();
    throw;
  }
  print_line(options.data + ", " + options.index + ": " +
             (layer.is_sparse ? "a sparse" : "an append-only") + " layer of " +
             exact_size_text(layer.virtual_size) +
             (options.makes_file_system ? " with an empty ext4" : ""));
  return kDone;
}

}  // namespace

void add_create(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("create", "Make an empty writable layer");
  command->footer(
      "Examples:\n"
      "  varve-layer create data index 64          64 GiB, append-only\n"
      "  varve-layer create -s data index 512M     sparse: DATA is as large as what is in it\n"
      "  varve-layer create data index --size 1073741824\n"
      "  varve-layer create data index 0           as large as the layer below");
  command->add_option("DATA", options->data, "Data file to make")->required();
  command->add_option("INDEX", options->index, "Index file to make")->required();
  command->add_option("SIZE", options->size_gib,
                      "Size of the device: a number of GiB, or one with B, K, M, G, T or P");
  command->add_option("--size", options->size, "The same in bytes, or with K, M, G, T or P");
  command->add_flag("-s,--sparse", options->is_sparse,
                    "A sparse layer: what is written over or discarded takes no room");
  command->add_flag("--mkfs", options->makes_file_system, "Make an empty ext4 in it");
  // overlaybd-create calls the parent's -u.
  add_identity(*command, options->identity, "-p,-u,--parent-uuid");
  add_unsupported(*command, {"--turboOCI", "--fastoci", "--raw", "--verbose"});
  command->callback([options, &action] { action = [options] { return create(*options); }; });
}

}  // namespace varve::tools
