// varve-layer: makes, finishes, merges, shows, checks and converts layers of block devices.
//
// Exit status: 0 done, 1 failed or damage found, 2 a command line that makes no sense. What is
// asked for goes to standard output, everything else to standard error.
#include <exception>
#include <new>

#include "output/output_file.h"
#include "tools/command_line.h"
#include "tools/failure.h"

namespace {

using namespace varve::tools;

int run(int argument_count, char** arguments) {
  CLI::App app(
      "Makes, finishes, merges, shows, checks and converts layers of block devices (overlaybd's "
      "formats).");
  app.name("varve-layer");
  app.require_subcommand(1);
  app.footer("varve-layer COMMAND --help says more about a command.");
  Action action;
  add_create(app, action);
  add_apply(app, action);
  add_commit(app, action);
  add_merge(app, action);
  add_inspect(app, action);
  add_verify(app, action);
  add_compress(app, action);
  add_decompress(app, action);
  add_export(app, action);
  add_checksum(app, action);
  add_file_system(app, action);
  add_bench(app, action);
  // The parser would only say that a command is missing.
  const std::string first = argument_count > 1 ? arguments[1] : "";
  const auto is_first = [&first](const CLI::App* command) { return command->get_name() == first; };
  if (!first.empty() && first[0] != '-' && app.get_subcommands(is_first).empty()) {
    throw Misuse("there is no command " + printable(first) + "; see varve-layer --help");
  }
  try {
    app.parse(argument_count, arguments);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    // The chosen command's help is the one that is of use.
    const auto chosen = app.get_subcommands();
    const std::string name = chosen.empty() ? "" : " " + chosen.front()->get_name();
    warn(std::string(error.what()) + "; see varve-layer" + name + " --help");
    return kMisused;
  }
  return action();
}

}  // namespace

int main(int argument_count, char** arguments) {
  try {
    varve::output::remove_unpublished_on_signals();
    return run(argument_count, arguments);
  } catch (const Misuse& error) {
    warn(error.what());
    return kMisused;
  } catch (const varve::io::FormatError& error) {
    warn(with_advice(error));
  } catch (const std::bad_alloc&) {
    warn("not enough memory");
  } catch (const std::exception& error) {
    warn(error.what());
  }
  return kFailed;
}
