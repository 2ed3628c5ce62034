// varve-layer export: a device's content as a plain file, with holes where nothing is mapped.
#include <algorithm>
#include <vector>

#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/progress.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string index;
  std::string target;
  bool is_forced = false;
  bool is_json = false;
};

void copy_run(const io::File& disk, io::ByteRange range, std::span<std::byte> buffer,
              OutputFile& output, Progress& progress) {
  while (range.length > 0) {
    const std::span<std::byte> piece =
        buffer.first(std::min<std::uint64_t>(range.length, buffer.size()));
    check(disk.read(piece, range.offset), disk.name(),
          "the device cannot be read at " + std::to_string(range.offset));
    check(output.file().write(piece, range.offset), output.path(), "cannot be written");
    range.offset += piece.size();
    range.length -= piece.size();
    progress.add(piece.size());
  }
}

int export_device(const Options& options) {
  const Device device = Device::open(options.path, options.index);
  const std::uint64_t size = device.size();
  OutputFile output(options.target, existing(options.is_forced));
  std::uint64_t written = 0;
  {
    Progress progress("export", device.data_bytes());
    std::vector<std::byte> buffer(kMib);
    for (std::uint64_t offset = 0; offset < size;) {
      const Run run = next_run(device.content(), offset, size);
      if (!run.is_zeros) {
        copy_run(*device.content().disk, {offset, run.length}, buffer, output, progress);
        written += run.length;
      }
      offset += run.length;
    }
    check(output.file().resize(size), options.target, "cannot be made as long as the device");
    output.publish();
  }
  if (options.is_json) {
    report_layer(options.target, {size, size, {}}, true);
  } else {
    print(options.target + ": " + exact_size_text(size) + ", " + size_text(written) +
          " of it data\n");
  }
  return kDone;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Write a device's content to a sparse file");
  command->footer(
      "Examples:\n"
      "  varve-layer export config.v1.json disk.img\n"
      "  varve-layer export overlaybd.commit disk.img\n"
      "  varve-layer export data --index index disk.img");
  command->add_option("SOURCE", options->path, "Configuration of an image, or one layer")
      ->required();
  command->add_option("TARGET", options->target, "File to make")->required();
  command->add_option("--index", options->index, "Index file of a writable layer");
  add_force(*command, options->is_forced);
  add_json(*command, options->is_json);
  command->callback([options, &action] { action = [options] { return export_device(*options); }; });
}

}  // namespace varve::tools
