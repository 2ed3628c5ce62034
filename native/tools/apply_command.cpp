// varve-layer apply: the tar of an OCI layer onto the ext4 in the writable layer of an image.
#include <chrono>
#include <nlohmann/json.hpp>

#include "apply/apply.h"
#include "image/image.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/damage_printer.h"
#include "tools/failure.h"
#include "tools/progress.h"
#include "tools/source_files.h"

namespace varve::tools {

namespace {

struct Options {
  std::string input;
  std::string target;
  bool is_raw = false;
  bool makes_file_system = false;
  std::string checksum;
  bool is_json = false;
};

// Knows whether anything was done to the disk.
class WatchedStore final : public apply::BlockStore {
 public:
  explicit WatchedStore(apply::BlockStore& store) : store_(store) {}

  [[nodiscard]] bool is_touched() const noexcept { return is_touched_; }

  [[nodiscard]] std::uint64_t size() const noexcept override { return store_.size(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    return store_.read(destination, offset);
  }
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override {
    is_touched_ = true;
    return store_.write(source, offset);
  }
  [[nodiscard]] int discard(const io::ByteRange& range) override {
    is_touched_ = true;
    return store_.discard(range);
  }
  [[nodiscard]] bool is_blank() const override { return store_.is_blank(); }
  [[nodiscard]] const std::string& name() const noexcept override { return store_.name(); }

 private:
  apply::BlockStore& store_;
  bool is_touched_ = false;
};

using Clock = std::chrono::steady_clock;

// The two parts of the work: one goes as fast as the machine, the other as its disk.
struct Outcome {
  apply::ApplyResult result;
  Clock::time_point begin = Clock::now();
  Clock::time_point applied;
  Clock::time_point durable;
};

double seconds_between(Clock::time_point from, Clock::time_point until) {
  return std::chrono::duration<double>(until - from).count();
}

// Throws what `apply` throws, with what has become of the target.
apply::ApplyResult apply_to(const Options& options, apply::BlockStore& target) {
  WatchedStore store(target);
  apply::ApplyOptions how;
  how.makes_file_system = options.makes_file_system;
  how.checksum = options.checksum;
  // How long the archive is shows when it has been read.
  Progress progress("apply", 0);
  try {
    return apply::apply_tar(
        apply::open_stream(options.input), options.input, store, how,
        [&progress](const apply::ApplyProgress& now) { progress.show(now.tar_bytes); });
  } catch (const apply::ApplyError& error) {
    throw Failure(std::string(error.what()) + "; " + options.target +
                  (store.is_touched() ? " may hold a part of it: throw it away"
                                      : " is as it was: nothing was written"));
  }
}

Outcome apply_to_file(const Options& options) {
  std::unique_ptr<io::WritableFile> file = open_existing(options.target, Access::kWrite);
  io::WritableFile& target = *file;
  apply::FileStore store(std::move(file));
  Outcome outcome;
  outcome.result = apply_to(options, store);
  outcome.applied = Clock::now();
  check(target.sync(), options.target, "cannot be made durable");
  outcome.durable = Clock::now();
  return outcome;
}

Outcome apply_to_image(const Options& options) {
  DamagePrinter damage;
  image::OpenOptions how;
  how.folder = folder_of(options.target);
  how.damage_listener = &damage;
  const auto image = image::Image::open(load_config(options.target), how);
  if (!image->is_writable()) {
    throw Failure(options.target +
                  ": names no writable layer; make one with varve-layer create and name its files "
                  "under \"upper\"");
  }
  apply::StackStore store(*image->writable());
  Outcome outcome;
  outcome.result = apply_to(options, store);
  outcome.applied = Clock::now();
  check(image->flush(), options.target, "the writable layer cannot be made durable");
  outcome.durable = Clock::now();
  return outcome;
}

int apply(const Options& options) {
  if (!options.checksum.empty() && !apply::is_checksum(options.checksum)) {
    throw Misuse("--checksum: " + printable(options.checksum) +
                 " is not sha256: and 64 hexadecimal digits");
  }
  const Outcome outcome = options.is_raw ? apply_to_file(options) : apply_to_image(options);
  const apply::ApplyResult& result = outcome.result;
  for (const std::string& sentence : result.left_out) warn(sentence);
  if (result.left_out_count > result.left_out.size()) {
    warn(count_text(result.left_out_count - result.left_out.size(), "more attribute") +
         " left out");
  }
  if (options.is_json) {
    nlohmann::ordered_json json = {{"path", options.target},
                                   {"entries", result.entries},
                                   {"tarBytes", result.tar_bytes},
                                   {"attributesLeftOut", result.left_out_count},
                                   {"seconds",
                                    {{"apply", seconds_between(outcome.begin, outcome.applied)},
                                     {"durable",
                                      seconds_between(outcome.applied, outcome.durable)}}}};
    if (!result.sha256.empty()) json["sha256"] = result.sha256;
    print(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return kDone;
  }
  print_line(options.target + ": applied a tar of " + exact_size_text(result.tar_bytes) +
             " with " + std::to_string(result.entries) + " entries");
  return kDone;
}

}  // namespace

void add_apply(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "apply", "Apply the tar of an OCI layer to the ext4 in the writable layer of an image");
  command->footer(
      "The same tar on the same image gives the same bytes. What fails or is interrupted after it\n"
      "has begun to write leaves a writable layer that is to be thrown away.\n"
      "Examples:\n"
      "  varve-layer apply --mkfs layer.tar.gz config.v1.json\n"
      "  gunzip -c layer.tar.gz | varve-layer apply - config.v1.json\n"
      "  varve-layer apply --raw layer.tar disk.img");
  command
      ->add_option("INPUT", options->input,
                   "The tar, as it is or compressed by gzip or zstd; - for standard input")
      ->required();
  command->add_option("CONFIG", options->target, "Configuration of the image")->required();
  command->add_flag("--raw", options->is_raw, "CONFIG is a file that holds the disk as it is");
  command->add_flag("--mkfs", options->makes_file_system, "Make an empty ext4 first");
  command
      ->add_option("--checksum", options->checksum,
                   "What the SHA-256 of the uncompressed tar has to be")
      ->type_name("sha256:HEX");
  add_unsupported(*command, {"--from_qcow2", "--extract-rootfs", "--no-extract-rootfs", "--gz_index_path",
                             "--service_config_path", "--verbose"});
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return apply(*options); }; });
}

}  // namespace varve::tools
