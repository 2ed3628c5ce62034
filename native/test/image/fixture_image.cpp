#include "test/image/fixture_image.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace varve::test {

namespace fs = std::filesystem;

void write_bytes(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(file.good()) << path;
}

std::string ImageTestCase::copy_fixture(const std::string& folder) const {
  for (const auto& entry : fs::directory_iterator(fixture_path(""))) {
    if (!entry.is_directory()) continue;
    const fs::path target = at(entry.path().filename().string());
    if (entry.path().filename() == folder) {
      fs::copy(entry.path(), target);
    } else {
      fs::create_directory_symlink(fs::absolute(entry.path()), target);
    }
  }
  const std::string copied = at(folder);
  if (fs::exists(copied + "/data.tar.gz")) {
    const std::string command = "tar -C " + copied + " -xSzf " + copied + "/data.tar.gz";
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  return copied;
}

std::shared_ptr<image::Image> ImageTestCase::open(const std::string& config_path,
                                                  image::OpenOptions options) {
  options.folder = fs::path(config_path).parent_path().string();
  return image::Image::open(image::load_image_config(config_path), options);
}

std::shared_ptr<image::Image> ImageTestCase::open_text(const std::string& config,
                                                       image::OpenOptions options) const {
  options.folder = path();
  return image::Image::open(image::parse_image_config(config, "config"), options);
}

std::string ImageTestCase::config_of(const std::vector<std::string>& files) {
  nlohmann::json lowers = nlohmann::json::array();
  for (const std::string& file : files) lowers.push_back({{"file", file}});
  return nlohmann::json{{"lowers", std::move(lowers)}}.dump();
}

void ImageTestCase::create_upper(std::uint64_t virtual_size, bool is_sparse) const {
  lsmt::NewLayer layer;
  layer.virtual_size = virtual_size;
  layer.is_sparse = is_sparse;
  lsmt::WritableLayer::create(io::open_writable_file(at("data"), true),
                              io::open_writable_file(at("index"), true), layer);
}

}  // namespace varve::test
