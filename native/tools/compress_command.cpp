// varve-layer compress and decompress: any content into a ZFile and back.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "image/layer_file.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/damage_printer.h"
#include "tools/failure.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/source_files.h"
#include "tools/work_in_order.h"

namespace varve::tools {

namespace {

struct Options {
  std::string source;
  std::string target;
  bool is_forced = false;
  bool is_json = false;
  FormatOptions format;
};

// The next bytes of a stream; none at its end.
std::size_t read_stream(std::span<std::byte> room) {
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, room.data(), room.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) fail("standard input", "cannot be read", errno);
  }
}

void copy_stream(LayerSink& sink, const std::string& target) {
  Progress progress("compress", 0);
  std::vector<std::byte> buffer(kMib);
  for (;;) {
    const std::size_t count = read_stream(buffer);
    if (count == 0) return;
    check(sink.append({buffer.data(), count}), target, "cannot be written");
    progress.add(count);
  }
}

void copy_file(const io::File& source, LayerSink& sink, const std::string& target) {
  Progress progress("compress", source.size());
  std::vector<std::byte> buffer(kMib);
  for (std::uint64_t offset = 0; offset < source.size();) {
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), source.size() - offset);
    const std::span<std::byte> piece(buffer.data(), count);
    check(source.read(piece, offset), source.name(), "cannot be read at " + std::to_string(offset));
    check(sink.append(piece), target, "cannot be written");
    offset += count;
    progress.show(offset);
  }
}

int compress(const Options& options) {
  const bool is_stream = options.source == "-";
  const std::unique_ptr<io::File> source =
      is_stream ? nullptr : open_existing(options.source, Access::kRead);
  OutputFile output = open_output(options.target, existing(options.is_forced),
                                  {is_stream ? "/dev/stdin" : options.source});
  LayerSink sink(output, layer_format(options.format, true));
  if (source == nullptr) {
    copy_stream(sink, options.target);
  } else {
    copy_file(*source, sink, options.target);
  }
  const LayerSummary summary = sink.finish();
  output.publish();
  report_layer(options.target, summary, options.is_json);
  return kDone;
}

constexpr std::size_t kPieceMax = 4 * kMib;

struct Copied {
  std::uint64_t end = 0;
  std::vector<std::byte> buffer{};
};

int decompress(const Options& options) {
  DamagePrinter damage;
  const image::LayerFile file = image::unwrap_layer(open_existing(options.source, Access::kRead),
                                                    {.damage_listener = &damage});
  if (!file.zfile) {
    throw Failure(options.source + ": is not compressed (no ZFile); varve-layer inspect shows " +
                  "what it is");
  }
  const io::File& content = *file.content;
  OutputFile output =
      open_output(options.target, existing(options.is_forced), {options.source});
  Progress progress("decompress", content.size());
  const std::uint64_t size = content.size();
  std::uint64_t offset = 0;
  work_in_order<Copied>(
      [&]() -> std::optional<io::ByteRange> {
        if (offset == size) return std::nullopt;
        const io::ByteRange piece{offset, std::min<std::uint64_t>(kPieceMax, size - offset)};
        offset += piece.length;
        return piece;
      },
      [&](const io::ByteRange& piece, Copied& copied) {
        copied.buffer.resize(kPieceMax);
        const std::span<std::byte> bytes = std::span(copied.buffer).first(piece.length);
        check(content.read(bytes, piece.offset), options.source,
              "the content cannot be read at " + std::to_string(piece.offset));
        check(output.file().write(bytes, piece.offset), options.target, "cannot be written");
        copied.end = piece.offset + piece.length;
      },
      [&](const Copied& copied) { progress.show(copied.end); });
  output.publish();
  report_layer(options.target, {content.size(), content.size(), {}}, options.is_json);
  return kDone;
}

}  // namespace

void add_compress(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("compress", "Compress any file into a ZFile");
  // As overlaybd-zfile writes them.
  options->format.is_header_final = false;
  command->footer(
      "Examples:\n"
      "  varve-layer compress --algorithm zstd --bs 16 layer layer.zfile\n"
      "  cat layer | varve-layer compress - layer.zfile");
  command->add_option("SOURCE", options->source, "File to read, - for standard input")->required();
  command->add_option("TARGET", options->target, "File to make")->required();
  add_format(*command, options->format);
  add_force(*command, options->is_forced);
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return compress(*options); }; });
}

void add_decompress(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "decompress", "Get the content of a ZFile back, also of one in a tar archive");
  command->add_option("SOURCE", options->source, "File to read")->required();
  command->add_option("TARGET", options->target, "File to make")->required();
  add_force(*command, options->is_forced);
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return decompress(*options); }; });
}

}  // namespace varve::tools
