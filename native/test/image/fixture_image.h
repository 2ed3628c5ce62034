// Images of the golden layers in test/fixtures/layers, opened by their configurations.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "image/image.h"
#include "io/file.h"
#include "test/layer_fixtures.h"
#include "test/refusal.h"
#include "test/temporary_directory.h"

namespace varve::test {

void write_bytes(const std::string& path, std::span<const std::byte> bytes);

class ImageTestCase : public TemporaryDirectory {
 protected:
  // Makes the golden layers available in the scratch directory: `folder` as a copy that may be
  // written to, sparse files with their holes, the others as they are. The path of the copy.
  std::string copy_fixture(const std::string& folder) const;

  // Opens a configuration with paths that are taken from its folder.
  static std::shared_ptr<image::Image> open(const std::string& config_path,
                                            image::OpenOptions options = {});
  // The same for a text; paths are taken from the scratch directory.
  std::shared_ptr<image::Image> open_text(const std::string& config,
                                          image::OpenOptions options = {}) const;
  // A configuration of these lower layers, each given by its `file`.
  static std::string config_of(const std::vector<std::string>& files);

  // Makes the two files of an empty writable layer.
  void create_upper(std::uint64_t virtual_size, bool is_sparse) const;
  // What names it, for a configuration.
  static std::string upper_json() { return R"("upper": {"data": "data", "index": "index"})"; }
};

}  // namespace varve::test
