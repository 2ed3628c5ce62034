// varve-layer commit: a writable layer becomes a finished one, beside it or in place.
#include "image/layer_file.h"
#include "image/upper_lock.h"
#include "lsmt/read_only_layer.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/failure.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/source_files.h"

namespace varve::tools {

namespace {

struct Options {
  std::string data;
  std::string second;
  std::string third;
  bool is_compressed = false;
  bool seals = false;
  bool is_sealed = false;
  bool drops_lost_data = false;
  bool is_forced = false;
  bool is_json = false;
  IdentityOptions identity;
  FormatOptions format;
};

lsmt::LostData lost_data(const Options& options) {
  return options.drops_lost_data ? lsmt::LostData::kDrop : lsmt::LostData::kRefuse;
}

void report_dropped(const Options& options, const lsmt::WritableLayer& layer) {
  if (layer.dropped_entries() == 0) return;
  warn(options.data + ": left out " + count_text(layer.dropped_entries(), "write") +
       " whose data is not there");
}

void report_sealed(const Options& options, std::uint64_t size, const std::string& what) {
  if (!options.is_json) print_line(options.data + ": " + what);
  if (options.is_json) report_layer(options.data, {size, size, {}}, true);
}

// In place: until the trailer is written the file is the writable layer that it was.
int seal(const Options& options) {
  if (!options.third.empty()) throw Misuse("--seal writes into DATA, so there is no OUTPUT");
  // Whoever was interrupted need not find out whether it had come to its end.
  if (const auto data = open_existing(options.data, Access::kRead); lsmt::was_sealed(*data)) {
    report_sealed(options, data->size(), "sealed already");
    return kDone;
  }
  const image::UpperLock lock = image::lock_upper(options.data, options.second, false);
  const auto layer =
      open_writable_layer(options.data, options.second, Access::kWrite, lost_data(options));
  report_dropped(options, *layer);
  layer->seal();
  report_sealed(options, layer->data().size(), "sealed");
  return kDone;
}

// Gives what `write` hands over to the output.
int write_output(const Options& options, const std::string& path, std::uint64_t data_bytes,
                 const std::function<void(const lsmt::Output&)>& write) {
  const std::string& index = options.is_sealed ? "" : options.second;
  OutputFile output =
      open_output(path, existing(options.is_forced), inputs_of(options.data, index));
  LayerSink sink(output, layer_format(options.format, options.is_compressed));
  LayerSummary summary;
  {
    Progress progress("commit", data_bytes);
    write([&sink, &progress](std::span<const std::byte> bytes) {
      progress.add(bytes.size());
      return sink.append(bytes);
    });
    summary = sink.finish();
    output.publish();
  }
  report_layer(path, summary, options.is_json);
  return kDone;
}

int commit_writable(const Options& options) {
  if (options.third.empty()) {
    throw Misuse(
        "name three files: DATA, INDEX and OUTPUT; a sealed file has no INDEX and needs "
        "--commit_sealed");
  }
  const lsmt::LayerOptions identity = layer_options(options.identity);
  const image::UpperLock lock = image::lock_upper(options.data, options.second, true);
  const auto layer =
      open_writable_layer(options.data, options.second, Access::kRead, lost_data(options));
  report_dropped(options, *layer);
  const std::uint64_t size = data_size(mappings_of(*layer));
  return write_output(options, options.third, size,
                      [&](const lsmt::Output& output) { layer->commit(identity, output); });
}

int commit_sealed(const Options& options) {
  if (!options.third.empty()) {
    throw Misuse("--commit_sealed reads one file: name DATA and OUTPUT");
  }
  lsmt::LayerOptions identity = layer_options(options.identity);
  image::LayerFile file = image::open_layer_file(options.data);
  const lsmt::ReadOnlyLayer layer = lsmt::open_read_only_layer(std::move(file.content));
  identity.virtual_size = layer.trailer.virtual_size;
  if (identity.parent_uuid.empty()) identity.parent_uuid = layer.header.parent_uuid;
  const std::uint64_t size = data_size({layer.mappings.data(), layer.mappings.size()});
  return write_output(options, options.second, size, [&](const lsmt::Output& output) {
    lsmt::write_layer(
        layer.mappings, [&layer](unsigned) -> const io::File& { return *layer.file; }, identity,
        output);
  });
}

// An option that does nothing is a misunderstanding.
void refuse_unused(const CLI::App& command, const Options& options) {
  if (options.seals) {
    const std::string why = "--seal completes DATA as it is";
    refuse_options(command, kCompressionOptions, why);
    refuse_options(command, {"-z", "-t", "-m", "--uuid", "-p", "-f"}, why);
    return;
  }
  if (options.is_sealed) {
    refuse_options(command, {"--drop-lost-writes"}, "a sealed layer has lost no writes");
  }
  if (!options.is_compressed) {
    refuse_options(command, kCompressionOptions, "the layer is not compressed without -z");
  }
}

int commit(const Options& options) {
  if (options.seals && options.is_sealed) {
    throw Misuse("--seal and --commit_sealed exclude each other");
  }
  if (options.seals) return seal(options);
  return options.is_sealed ? commit_sealed(options) : commit_writable(options);
}

}  // namespace

void add_commit(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("commit", "Make a finished layer of a writable one");
  command->footer(
      "Examples:\n"
      "  varve-layer commit data index layer                    as it is\n"
      "  varve-layer commit -z -t data index overlaybd.commit   compressed, in a tar archive\n"
      "  varve-layer commit -z --algorithm zstd --bs 64 data index layer\n"
      "  varve-layer commit --seal data index                   in place, without a copy\n"
      "  varve-layer commit --commit_sealed data layer          from a sealed file");
  command->add_option("DATA", options->data, "Data file of the layer")->required();
  command
      ->add_option("INDEX", options->second,
                   "Its index file; with --commit_sealed this is the OUTPUT")
      ->required();
  command->add_option("OUTPUT", options->third, "File to make");
  command->add_flag("-z,--compress", options->is_compressed, "Compress the layer (ZFile)");
  add_unsupported(*command, {"--turboOCI", "--fastoci", "--upload", "--upload_bs",
                             "--cred_file_path", "--tls_key_path", "--tls_cert_path",
                             "--verbose"});
  add_format(*command, options->format);
  add_identity(*command, options->identity);
  command->add_flag("--seal", options->seals,
                    "Complete DATA in place; it cannot be written any more");
  command->add_flag("--commit_sealed,--commit-sealed", options->is_sealed,
                    "DATA is a sealed or finished layer");
  command->add_flag("--drop-lost-writes", options->drops_lost_data,
                    "Leave out writes whose data is missing after a loss of power");
  add_force(*command, options->is_forced);
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, command, &action] {
    refuse_unused(*command, *options);
    action = [options] { return commit(*options); };
  });
}

}  // namespace varve::tools
