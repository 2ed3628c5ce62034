// What several commands have in common on their command lines.
//
// A command adds itself to the application; when it was chosen, it leaves what to do in `action`,
// which gives the exit status. Options have the names of overlaybd's tools where these have them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "lsmt/layer_writer.h"
#include "output/layer_sink.h"
#include "output/output_file.h"

namespace varve::tools {

using output::Existing;
using output::LayerFormat;
using output::LayerSink;
using output::LayerSummary;
using output::OutputFile;

using Action = std::function<int()>;

void add_apply(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_checksum(CLI::App& app, Action& action);
void add_file_system(CLI::App& app, Action& action);
void add_commit(CLI::App& app, Action& action);
void add_compress(CLI::App& app, Action& action);
void add_create(CLI::App& app, Action& action);
void add_decompress(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_merge(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);

// A flag that may also be given as --name=false.
CLI::Option* add_switch(CLI::App& command, const std::string& name, bool& value,
                        const std::string& help);
// The same for one that turns `value` off.
CLI::Option* add_off_switch(CLI::App& command, const std::string& name, bool& value,
                            const std::string& help);
// Options of overlaybd's tools that are refused by name, with whatever value.
void add_unsupported(CLI::App& command, std::initializer_list<const char*> names);
// Throws Misuse for the first of `names` that was given: `why` says why it would do nothing.
void refuse_options(const CLI::App& command, const std::vector<std::string>& names,
                    const std::string& why);

// -f, --json, --progress-fd.
void add_force(CLI::App& command, bool& is_forced);
void add_json(CLI::App& command, bool& is_json);
void add_progress(CLI::App& command);

[[nodiscard]] constexpr Existing existing(bool is_forced) {
  return is_forced ? Existing::kReplace : Existing::kRefuse;
}

// -m, --uuid, -p.
struct IdentityOptions {
  std::string uuid;
  std::string parent_uuid;
  std::string user_tag;
};
// `parent_names` are those of the last one, where overlaybd's tool has another.
void add_identity(CLI::App& command, IdentityOptions& options,
                  const std::string& parent_names = "-p,--parent-uuid");
// Empty for an empty text; throws Misuse for one that is no uuid.
[[nodiscard]] lsmt::Uuid uuid_of(const std::string& text, const std::string& option);
// Throws Misuse for what does not fit into a layer.
[[nodiscard]] lsmt::LayerOptions layer_options(const IdentityOptions& options);

// -t, --algorithm, --bs and so on; whether to compress at all is for the command.
struct FormatOptions {
  bool is_tar_wrapped = false;
  std::string algorithm = "lz4";
  std::string block_size = "4";
  unsigned threads = 0;
  bool has_sums = true;
  bool is_header_final = true;
};
void add_format(CLI::App& command, FormatOptions& options);
// Which of them say how to compress.
inline const std::vector<std::string> kCompressionOptions = {
    "--algorithm", "--bs", "--threads", "--no-checksums", "--final-header", "--no-final-header"};
[[nodiscard]] LayerFormat layer_format(const FormatOptions& options, bool is_compressed);

// Says on standard output what was written, or as JSON; and on standard error what others cannot
// read of it.
void report_layer(const std::string& path, const LayerSummary& summary, bool is_json);

// All of it or Failure: the reader may have gone, the disk behind it may be full.
void print(const std::string& text);
// A line of text on standard output, and one on standard error.
void print_line(const std::string& text);
void warn(const std::string& text);

}  // namespace varve::tools
