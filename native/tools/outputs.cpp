#include "tools/outputs.h"

#include <filesystem>
#include <utility>

#include "image/image_config.h"
#include "image/layer_file.h"
#include "io/same_file.h"
#include "tools/failure.h"
#include "tools/source_files.h"

namespace varve::tools {

std::vector<std::string> inputs_of(const std::string& path, const std::string& index) {
  std::vector<std::string> inputs = {path};
  if (!index.empty()) inputs.push_back(index);
  if (!is_config(path)) return inputs;
  for (image::NamedFile& file : image::files_of(image::load_image_config(path), folder_of(path))) {
    // Where a layer could be and is not, none is read.
    if (std::filesystem::exists(file.path)) inputs.push_back(std::move(file.path));
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
    if (io::is_same_file(path, input)) {
      throw Misuse(path + ": is what is read here" + (input == path ? "" : " as " + input) +
                   ", and would be replaced; give another name");
    }
  }
  return {path, existing};
}

}  // namespace varve::tools
