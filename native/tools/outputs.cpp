#include "tools/outputs.h"

#include <sys/stat.h>

#include <optional>

#include "image/image_config.h"
#include "image/layer_file.h"
#include "tools/failure.h"
#include "tools/source_files.h"

namespace varve::tools {

namespace {

bool is_same_file(const std::string& one, const std::string& other) {
  struct stat first = {};
  struct stat second = {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

std::vector<std::string> inputs_of(const std::string& path, const std::string& index) {
  std::vector<std::string> inputs = {path};
  if (!index.empty()) inputs.push_back(index);
  if (!is_config(path)) return inputs;
  const image::ImageConfig config = image::load_image_config(path);
  const std::string folder = folder_of(path);
  for (const image::LowerConfig& lower : config.lowers) {
    const std::optional<std::string> file = image::find_local_file(lower, folder);
    if (file) inputs.push_back(*file);
  }
  if (config.upper) {
    inputs.push_back(image::resolve_path(config.upper->data, folder));
    inputs.push_back(image::resolve_path(config.upper->index, folder));
  }
  return inputs;
}

output::OutputFile open_output(const std::string& path, output::Existing existing,
                               const std::vector<std::string>& inputs) {
  if (path == "-") {
    throw Misuse("-: the output cannot go to standard output; name a file, or ./- for one of that "
                 "name");
  }
  for (const std::string& input : inputs) {
    if (is_same_file(path, input)) {
      throw Misuse(path + ": is what is read here" + (input == path ? "" : " as " + input) +
                   ", and would be replaced; give another name");
    }
  }
  return {path, existing};
}

}  // namespace varve::tools
