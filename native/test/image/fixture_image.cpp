#include "test/image/fixture_image.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace varve::test {

namespace fs = std::filesystem;

std::string fixture_path(const std::string& name) { return VARVE_FIXTURES "/" + name; }

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return nlohmann::json::parse(file);
}

Bytes read_file(const std::string& path) {
  const std::unique_ptr<io::File> file = io::open_file(path);
  Bytes bytes(file->size());
  EXPECT_EQ(file->read(bytes, 0), 0) << path;
  return bytes;
}

void write_bytes(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(file.good()) << path;
}

std::string sha256_of(const io::File& disk, std::uint64_t offset, std::uint64_t length) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  EXPECT_EQ(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr), 1);
  Bytes bytes(std::size_t{1} << 20);
  while (length > 0) {
    const std::size_t step = std::min<std::uint64_t>(length, bytes.size());
    const int error = disk.read({bytes.data(), step}, offset);
    EXPECT_EQ(error, 0) << "at " << offset;
    if (error != 0) return "";
    EXPECT_EQ(EVP_DigestUpdate(context.get(), bytes.data(), step), 1);
    offset += step;
    length -= step;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EXPECT_EQ(EVP_DigestFinal_ex(context.get(), digest, &size), 1);
  std::string text;
  for (unsigned at = 0; at < size; ++at) {
    text += "0123456789abcdef"[digest[at] >> 4];
    text += "0123456789abcdef"[digest[at] & 15];
  }
  return text;
}

void expect_content(const io::File& disk, const nlohmann::json& expected) {
  ASSERT_EQ(disk.size(), expected.at("virtualSize").get<std::uint64_t>());
  for (const nlohmann::json& range : expected.at("ranges")) {
    const auto offset = range.at("offset").get<std::uint64_t>();
    EXPECT_EQ(sha256_of(disk, offset, range.at("length").get<std::uint64_t>()),
              range.at("sha256").get<std::string>())
        << "at " << offset;
  }
  if (expected.at("sha256").is_null()) return;
  EXPECT_EQ(sha256_of(disk, 0, disk.size()), expected.at("sha256").get<std::string>());
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
