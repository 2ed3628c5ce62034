// varve-layer verify: checks layers, alone or all that a configuration names.
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "image/image.h"
#include "image/image_config.h"
#include "tools/amounts.h"
#include "tools/command_line.h"
#include "tools/failure.h"
#include "tools/layer_check.h"
#include "tools/source_files.h"

namespace varve::tools {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> paths;
  std::string index;
  bool is_json = false;
};

// What is wrong with a stack as a whole, in words; layers alone are checked one by one.
struct StackCheck {
  std::string path;
  std::string failure;  // why it could not be checked as a whole; else empty
  std::vector<std::string> defects;
  std::vector<std::string> notes;
};

const char* name_of(Severity severity) { return severity == Severity::kDefect ? "defect" : "note"; }

std::string text_of(const std::string& path, const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings.kept()) {
    text += without_controls(path + ": " + name_of(finding.severity) + " at " +
                             std::to_string(finding.offset) +
                             (finding.within == Within::kContent ? " of the content: " : ": ") +
                             finding.text) +
            "\n";
  }
  if (findings.left_out() > 0) {
    text += without_controls(path) + ": " + count_text(findings.left_out(), "more finding") + "\n";
  }
  return text;
}

std::string text_of(const LayerCheck& check) {
  if (!check.failure.empty()) return without_controls(check.failure) + "\n";
  std::string text =
      text_of(check.path, check.findings) + text_of(check.index_path, check.index_findings);
  text += without_controls(check.path) + ": ";
  text += check.defects() == 0 ? "sound" : count_text(check.defects(), "defect");
  if (!check.what.empty()) {
    text += " (" + check.what;
    if (check.blocks > 0) text += ", " + count_text(check.blocks, "block");
    if (check.entries > 0) text += ", " + std::to_string(check.entries) + " index entries";
    text += ")";
  }
  return text + "\n";
}

void add_json(Json& list, const std::string& path, const Findings& findings) {
  for (const Finding& finding : findings.kept()) {
    list.push_back({{"severity", name_of(finding.severity)},
                    {"file", path},
                    {"within", finding.within == Within::kContent ? "content" : "file"},
                    {"offset", finding.offset},
                    {"text", finding.text}});
  }
}

Json json_of(const LayerCheck& check) {
  Json findings = Json::array();
  add_json(findings, check.path, check.findings);
  add_json(findings, check.index_path, check.index_findings);
  Json json = {{"path", check.path},
               {"isSound", check.is_sound()},
               {"kind", check.what},
               {"blocks", check.blocks},
               {"indexEntries", check.entries},
               {"findings", std::move(findings)},
               {"findingsLeftOut", check.findings.left_out() + check.index_findings.left_out()}};
  if (!check.failure.empty()) json["error"] = check.failure;
  return json;
}

// Adds the layers that a configuration names, and finds what can only be said of all of them
// together.
void check_stack(StackCheck& stack, std::vector<LayerCheck>& checks) {
  const image::ImageConfig config = load_config(stack.path);
  const std::string from = folder_of(stack.path);
  bool is_whole = true;
  for (const image::LowerConfig& lower : config.lowers) {
    const std::optional<std::string> file = image::find_local_file(lower, from);
    if (!file) {
      stack.defects.push_back("layer " + std::to_string(&lower - config.lowers.data()) +
                              " is not here: " + (lower.file.empty() ? lower.digest : lower.file));
      is_whole = false;
      continue;
    }
    checks.push_back(check_layer(*file, ""));
    is_whole = is_whole && checks.back().is_sound();
  }
  if (config.upper) {
    checks.push_back(check_layer(image::resolve_path(config.upper->data, from),
                                 image::resolve_path(config.upper->index, from)));
    is_whole = is_whole && checks.back().is_sound();
  }
  if (!is_whole) return;
  try {
    const auto opened = image::Image::open(config, {.folder = from, .is_read_only = true});
    if (opened->lowers() != nullptr) stack.notes = lsmt::chain_defects(opened->lowers()->layers());
  } catch (const io::FormatError& error) {
    if (error.error() != EBUSY) throw;
    stack.failure = with_advice(error);
  }
}

// What cannot be opened is for the check to say.
bool begins_like_config(const std::string& path) {
  try {
    return is_config(path);
  } catch (const std::runtime_error&) {
    return false;
  }
}

int verify(const Options& options) {
  if (!options.index.empty() && options.paths.size() != 1) {
    throw Misuse("--index belongs to one layer: name one FILE with it");
  }
  std::vector<LayerCheck> checks;
  std::vector<StackCheck> stacks;
  for (const std::string& path : options.paths) {
    if (!begins_like_config(path)) {
      checks.push_back(check_layer(path, options.index));
      continue;
    }
    StackCheck& stack = stacks.emplace_back();
    stack.path = path;
    try {
      check_stack(stack, checks);
    } catch (const std::runtime_error& error) {
      // Of one file alone: the others are checked all the same.
      stack.defects.emplace_back(error.what());
    }
  }
  bool is_sound = true;
  Json json = {{"layers", Json::array()}, {"stacks", Json::array()}};
  std::string text;
  for (const LayerCheck& check : checks) {
    is_sound = is_sound && check.is_sound();
    text += text_of(check);
    json["layers"].push_back(json_of(check));
  }
  for (const StackCheck& stack : stacks) {
    is_sound = is_sound && stack.defects.empty() && stack.failure.empty();
    if (!stack.failure.empty()) text += without_controls(stack.failure) + "\n";
    for (const std::string& defect : stack.defects) {
      text += without_controls(stack.path + ": defect: " + defect) + "\n";
    }
    for (const std::string& note : stack.notes) {
      text += without_controls(stack.path + ": note: " + note) + "\n";
    }
    Json one = {{"path", stack.path}, {"defects", stack.defects}, {"notes", stack.notes}};
    if (!stack.failure.empty()) one["error"] = stack.failure;
    json["stacks"].push_back(std::move(one));
  }
  json["isSound"] = is_sound;
  print(options.is_json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  return is_sound ? kDone : kFailed;
}

}  // namespace

void add_verify(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "verify",
      "Check every checksum and every rule of the index, and say where one does not hold");
  command->footer(
      "Exit status 1 if a defect was found; notes are of interest only.\n"
      "Examples:\n"
      "  varve-layer verify overlaybd.commit\n"
      "  varve-layer verify data --index index\n"
      "  varve-layer verify config.v1.json          every layer that it names");
  command->add_option("FILE", options->paths, "Layers, or configurations that name some")
      ->required();
  command->add_option("--index", options->index, "Index file of a writable layer");
  add_json(*command, options->is_json);
  add_progress(*command);
  command->callback([options, &action] { action = [options] { return verify(*options); }; });
}

}  // namespace varve::tools
