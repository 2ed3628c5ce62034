// varve-layer inspect: what a layer file is, and where in the device its data lies.
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/command_line.h"
#include "tools/failure.h"
#include "tools/inspection.h"

namespace varve::tools {

namespace {

struct Options {
  std::string path;
  std::string index;
  bool has_extents = false;
  bool is_json = false;
};

std::size_t output_width() {
  struct winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

int show(const Options& options) {
  const Inspection inspection = inspect(options.path, options.index);
  if (options.is_json) {
    print(to_json(inspection, options.has_extents)
              .dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
          "\n");
  } else {
    print(to_text(inspection, {.has_extents = options.has_extents, .width = output_width()}));
  }
  return kDone;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show header, trailer, index and a picture of where a layer's data lies");
  command->footer(
      "Examples:\n"
      "  varve-layer inspect overlaybd.commit\n"
      "  varve-layer inspect --extents --json layer\n"
      "  varve-layer inspect data --index index");
  command
      ->add_option("FILE", options->path,
                   "Layer: as it is, compressed, in a tar archive, or the data of a writable "
                   "one")
      ->required();
  command->add_option("--index", options->index, "Index file of a writable layer");
  command->add_flag("--extents", options->has_extents, "Show every mapping");
  add_json(*command, options->is_json);
  command->callback([options, &action] { action = [options] { return show(*options); }; });
}

}  // namespace varve::tools
