// varve-layer export: a device's content as a plain file, with holes where nothing is mapped.
#include <algorithm>
#include <optional>
#include <vector>

#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/work_in_order.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string index;
  std::string target;
  bool is_forced = false;
  bool is_json = false;
};

struct Copied {
  std::uint64_t bytes = 0;
  std::vector<std::byte> buffer{};
};

// Copies what is data of a piece.
void copy_piece(const Content& content, const io::ByteRange& piece, OutputFile& output,
                Copied& copied) {
  const io::File& disk = *content.disk;
  copied.buffer.resize(std::max(copied.buffer.size(), piece.length));
  const std::span<std::byte> bytes = std::span(copied.buffer).first(piece.length);
  check(disk.read(bytes, piece.offset), disk.name(),
        "the device cannot be read at " + std::to_string(piece.offset));
  copied.bytes = 0;
  for (std::uint64_t done = 0; done < piece.length;) {
    const Run run = next_run(content, piece.offset + done, piece.offset + piece.length);
    if (!run.is_zeros) {
      check(output.file().write(bytes.subspan(done, run.length), piece.offset + done),
            output.path(), "cannot be written");
      copied.bytes += run.length;
    }
    done += run.length;
  }
}

std::uint64_t copy_data(const Device& device, OutputFile& output) {
  Progress progress("export", device.data_bytes());
  const Content& content = device.content();
  std::uint64_t written = 0;
  std::uint64_t offset = 0;
  const std::uint64_t end = device.size();
  work_in_order<Copied>(
      [&]() -> std::optional<io::ByteRange> {
        while (offset < end) {
          const Run run = next_piece(content, offset, end);
          const io::ByteRange piece{offset, run.length};
          offset += run.length;
          if (!run.is_zeros) return piece;
        }
        return std::nullopt;
      },
      [&](const io::ByteRange& piece, Copied& copied) {
        copy_piece(content, piece, output, copied);
      },
      [&](const Copied& copied) {
        written += copied.bytes;
        progress.add(copied.bytes);
      });
  return written;
}

int export_device(const Options& options) {
  const Device device = Device::open(options.path, options.index);
  const std::uint64_t size = device.size();
  OutputFile output = open_output(options.target, existing(options.is_forced),
                                  inputs_of(options.path, options.index));
  const std::uint64_t written = copy_data(device, output);
  check(output.file().resize(size), options.target, "cannot be made as long as the device");
  output.publish();
  if (options.is_json) {
    report_layer(options.target, {size, size, {}}, true);
  } else {
    print_line(options.target + ": " + exact_size_text(size) + ", " + size_text(written) +
               " of it data");
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
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return export_device(*options); }; });
}

}  // namespace varve::tools
