#include "tools/command_line.h"

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/amounts.h"
#include "tools/failure.h"
#include "tools/progress.h"

namespace varve::tools {

CLI::Option* add_switch(CLI::App& command, const std::string& name, bool& value,
                        const std::string& help) {
  return command.add_flag_function(
      name, [&value](std::int64_t count) { value = count > 0; }, help);
}

CLI::Option* add_off_switch(CLI::App& command, const std::string& name, bool& value,
                            const std::string& help) {
  return command.add_flag_function(
      name, [&value](std::int64_t count) { value = count <= 0; }, help);
}

void add_unsupported(CLI::App& command, std::initializer_list<const char*> names) {
  for (const std::string name : names) {
    const auto refuse = [name](const std::string&) {
      throw Misuse(name + ": is not supported yet");
    };
    command.add_option_function<std::string>(name, refuse)->expected(0, 1)->group("");
  }
}

void refuse_options(const CLI::App& command, const std::vector<std::string>& names,
                    const std::string& why) {
  for (const std::string& name : names) {
    if (command.count(name) > 0) throw Misuse(name + ": has no effect here: " + why);
  }
}

void add_force(CLI::App& command, bool& is_forced) {
  command.add_flag("-f,--force", is_forced, "Replace what is there under the output's name");
}

void add_json(CLI::App& command, bool& is_json) {
  command.add_flag("--json", is_json, "Print JSON");
}

void add_progress(CLI::App& command) {
  command
      .add_option_function<int>("--progress-fd", report_progress_to,
                                "Tell how far it is on this descriptor, in lines of JSON")
      ->type_name("N");
}

void add_identity(CLI::App& command, IdentityOptions& options, const std::string& parent_names) {
  command.add_option("-m,--message", options.user_tag, "User tag, at most 256 bytes")
      ->type_name("TEXT");
  command.add_option("--uuid", options.uuid, "UUID of the layer")->type_name("UUID");
  command.add_option(parent_names, options.parent_uuid, "UUID of the layer below")
      ->type_name("UUID");
}

lsmt::Uuid uuid_of(const std::string& text, const std::string& option) {
  if (text.empty()) return {};
  const std::optional<lsmt::Uuid> uuid = lsmt::parse_uuid(text);
  if (!uuid) {
    throw Misuse(option + ": " + printable(text) + " is no UUID, which is 36 characters such as " +
                 "3fc7f4b7-215e-49d4-89c7-c155c53f17c2");
  }
  return *uuid;
}

lsmt::LayerOptions layer_options(const IdentityOptions& options) {
  if (options.user_tag.size() > lsmt::kUserTagMax) {
    throw Misuse("-m: the user tag has " + count_text(options.user_tag.size(), "byte") +
                 ", and a layer has room for " + std::to_string(lsmt::kUserTagMax));
  }
  lsmt::LayerOptions layer;
  layer.uuid = uuid_of(options.uuid, "--uuid");
  layer.parent_uuid = uuid_of(options.parent_uuid, "--parent-uuid");
  layer.user_tag = options.user_tag;
  return layer;
}

void add_format(CLI::App& command, FormatOptions& options) {
  command.add_flag("-t,--tar", options.is_tar_wrapped, "Wrap the layer in a tar archive");
  command.add_option("--algorithm", options.algorithm, "Compression")
      ->capture_default_str()
      ->check(CLI::IsMember({"lz4", "zstd"}));
  command
      .add_option("--bs,--block-size", options.block_size,
                  "Block size of the compression in KiB; overlaybd itself cannot read blocks of "
                  "64 that do not compress")
      ->capture_default_str()
      ->check(CLI::IsMember({"4", "8", "16", "32", "64"}));
  command
      .add_option("--compress_threads,--threads", options.threads,
                  "Threads that compress; 0 is one for each processor")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(0, 256));
  add_off_switch(command, "--no-checksums", options.has_sums,
                 "Compress without a checksum for each block");
  CLI::Option* final_header =
      add_switch(command, "--final-header", options.is_header_final,
                 std::string("Describe the compressed file in its header, too") +
                     (options.is_header_final ? " (the default)" : ""));
  add_off_switch(command, "--no-final-header", options.is_header_final,
                 std::string("Describe it in its trailer alone") +
                     (options.is_header_final ? "" : " (the default)"))
      ->excludes(final_header);
}

LayerFormat layer_format(const FormatOptions& options, bool is_compressed) {
  LayerFormat format;
  format.is_tar_wrapped = options.is_tar_wrapped;
  if (!is_compressed) return format;
  zfile::WriteOptions& compression = format.compression.emplace();
  compression.algorithm =
      options.algorithm == "zstd" ? zfile::Algorithm::zstd : zfile::Algorithm::lz4;
  compression.block_size = static_cast<std::uint32_t>(std::stoul(options.block_size) * kKib);
  compression.has_sums = options.has_sums;
  compression.is_header_final = options.is_header_final;
  compression.threads = options.threads;
  return format;
}

void report_layer(const std::string& path, const LayerSummary& summary, bool is_json) {
  // Upstream reads stored blocks into a buffer of that size.
  constexpr std::uint32_t kStoredMaxOfUpstream = 65536;
  if (summary.compression && summary.compression->longest_stored > kStoredMaxOfUpstream) {
    warn(path +
         ": some blocks do not compress, and overlaybd itself cannot read them; --bs 32 "
         "or less makes a file that it can read");
  }
  if (is_json) {
    nlohmann::ordered_json report = {
        {"path", path}, {"fileSize", summary.file_size}, {"contentSize", summary.content_size}};
    if (summary.compression) report["blocks"] = summary.compression->block_count;
    print(report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return;
  }
  std::string text = path + ": " + exact_size_text(summary.file_size);
  if (summary.compression) {
    text += ", " + share_text(summary.file_size, summary.content_size) + " of " +
            exact_size_text(summary.content_size);
  }
  print_line(text);
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail("standard output", "cannot be written", errno);
  }
}

void print_line(const std::string& text) { print(without_controls(text) + "\n"); }

void warn(const std::string& text) {
  std::fprintf(stderr, "varve-layer: %s\n", without_controls(text).c_str());
}

}  // namespace varve::tools
