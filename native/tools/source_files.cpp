#include "tools/source_files.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "lsmt/header.h"
#include "tools/command_line.h"
#include "tools/failure.h"

namespace varve::tools {

std::unique_ptr<io::WritableFile> open_existing(const std::string& path, Access access) {
  constexpr int kAlways = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const int descriptor =
      ::open(path.c_str(), (access == Access::kWrite ? O_RDWR : O_RDONLY) | kAlways);
  if (descriptor < 0) fail(path, "cannot be opened", errno);
  return io::adopt_file(descriptor, path);
}

std::unique_ptr<io::WritableFile> open_nothing() {
  const int descriptor = ::memfd_create("no index", MFD_CLOEXEC);
  if (descriptor < 0) fail("memory", "an empty file cannot be made", errno);
  return io::adopt_file(descriptor, "no index");
}

std::unique_ptr<lsmt::WritableLayer> open_writable_layer(const std::string& data,
                                                         const std::string& index, Access access,
                                                         lsmt::LostData lost_data) {
  std::unique_ptr<io::WritableFile> data_file = open_existing(data, access);
  if (index.empty() && !lsmt::read_header(*data_file, "data").is_sparse) {
    throw Failure(data + ": is an append-only layer, whose mappings are in its index file; name " +
                  "that file, too");
  }
  return lsmt::WritableLayer::open(std::move(data_file),
                                   index.empty() ? open_nothing() : open_existing(index, access),
                                   lost_data);
}

std::vector<lsmt::Mapping> mappings_of(const lsmt::WritableLayer& layer) {
  std::vector<lsmt::Mapping> mappings;
  lsmt::Found found;
  for (std::uint64_t sector = 0; sector < lsmt::kSectorMax;) {
    layer.find({sector, lsmt::kSectorMax - sector}, found);
    mappings.insert(mappings.end(), found.mappings.begin(),
                    found.mappings.begin() + static_cast<std::ptrdiff_t>(found.count));
    if (found.count < lsmt::kFoundMax) break;
    sector = mappings.back().end();
  }
  return mappings;
}

std::uint64_t data_size(std::span<const lsmt::Mapping> mappings) {
  std::uint64_t sectors = 0;
  for (const lsmt::Mapping& mapping : mappings) {
    if (!mapping.is_zeroed()) sectors += mapping.count();
  }
  return sectors * lsmt::kSectorSize;
}

namespace {

std::optional<lsmt::Header> block_at(const io::File& file, std::uint64_t offset) {
  lsmt::HeaderBlock block;
  if (file.read(block, offset) != 0) return std::nullopt;
  return lsmt::Header::decode(block);
}

}  // namespace

Shape shape_of(const io::File& content, bool has_index) {
  if (content.size() < lsmt::kHeaderBytes) return Shape::kOther;
  const std::optional<lsmt::Header> header = block_at(content, 0);
  const std::optional<lsmt::Header> last = block_at(content, content.size() - lsmt::kHeaderBytes);
  const bool has_trailer = last && !last->is_header;
  if (!header || !header->is_header) return has_trailer ? Shape::kFinished : Shape::kOther;
  if (!header->is_data) return Shape::kIndexOfWritable;
  if (has_index && !header->is_sealed) return Shape::kWritable;
  // A layer that was sealed in place keeps the header that it had, so the other end decides.
  return header->is_sealed || has_trailer ? Shape::kFinished : Shape::kWritable;
}

bool is_config(const std::string& path) {
  const std::unique_ptr<io::File> file = open_existing(path, Access::kRead);
  std::array<std::byte, 64> begin{};
  const std::size_t length = std::min<std::uint64_t>(begin.size(), file->size());
  if (file->read(std::span(begin).first(length), 0) != 0) return false;
  for (std::size_t at = 0; at < length; ++at) {
    const char letter = static_cast<char>(begin[at]);
    if (letter == '{') return true;
    if (letter != ' ' && letter != '\n' && letter != '\r' && letter != '\t') return false;
  }
  return false;
}

image::ImageConfig load_config(const std::string& path) {
  image::ImageConfig config = image::load_image_config(path);
  for (const image::Note& note : config.notes) warn(path + ": " + note.key + ": " + note.text);
  return config;
}

std::string folder_of(const std::string& config) {
  const std::string folder = std::filesystem::path(config).parent_path();
  return folder.empty() ? std::string(1, '.') : folder;
}

}  // namespace varve::tools
