// varve-layer merge: all layers of an image as one.
#include "tools/command_line.h"
#include "tools/device.h"
#include "tools/failure.h"
#include "tools/outputs.h"
#include "tools/progress.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string target;
  bool is_compressed = true;
  bool is_forced = false;
  bool is_json = false;
  IdentityOptions identity;
  FormatOptions format;
};

int merge(const Options& options) {
  const lsmt::LayerOptions identity = layer_options(options.identity);
  const Device device = Device::open(options.path);
  OutputFile output =
      open_output(options.target, existing(options.is_forced), inputs_of(options.path));
  LayerSink sink(output, layer_format(options.format, options.is_compressed));
  LayerSummary summary;
  {
    Progress progress("merge", device.data_bytes());
    device.merge(identity, [&sink, &progress](std::span<const std::byte> bytes) {
      progress.add(bytes.size());
      return sink.append(bytes);
    });
    summary = sink.finish();
    output.publish();
  }
  report_layer(options.target, summary, options.is_json);
  return kDone;
}

}  // namespace

void add_merge(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("merge", "Make one layer of all layers of an image");
  // As overlaybd-merge writes them.
  options->format.is_header_final = false;
  command->footer(
      "Examples:\n"
      "  varve-layer merge config.v1.json layer\n"
      "  varve-layer merge --no-compress config.v1.json layer\n"
      "  varve-layer merge --algorithm zstd --bs 16 -t config.v1.json overlaybd.commit");
  command->add_option("CONFIG", options->path, "Configuration of the image")->required();
  command->add_option("OUTPUT", options->target, "File to make")->required();
  CLI::Option* compress = add_switch(*command, "--compress", options->is_compressed,
                                     "Compress the layer (the default)");
  add_off_switch(*command, "--no-compress", options->is_compressed, "Write the layer as it is")
      ->excludes(compress);
  add_unsupported(*command, {"--upload", "--upload_bs", "--cred_file_path", "--tls_key_path",
                             "--tls_cert_path", "--service_config_path", "--verbose"});
  add_format(*command, options->format);
  add_identity(*command, options->identity);
  add_force(*command, options->is_forced);
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, command, &action] {
    if (!options->is_compressed) {
      refuse_options(*command, kCompressionOptions, "the layer is not to be compressed");
    }
    action = [options] { return merge(*options); };
  });
}

}  // namespace varve::tools
