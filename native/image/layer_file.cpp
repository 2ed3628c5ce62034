#include "image/layer_file.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/mapped_file.h"
#include "io/reporting_file.h"
#include "io/slice_file.h"
#include "tar/layer_entry.h"
#include "zfile/reader.h"

namespace varve::image {

namespace {

constexpr const char* kNamesInDirectory[] = {"overlaybd.commit", ".commit", "overlaybd.sealed"};

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Where the file of a lower may be; the first one that exists counts.
std::vector<std::string> places_of(const LowerConfig& lower, const std::string& folder) {
  std::vector<std::string> places;
  if (!lower.file.empty()) places.push_back(resolve_path(lower.file, folder));
  if (lower.directory.empty()) return places;
  const std::string directory = resolve_path(lower.directory, folder);
  for (const char* name : kNamesInDirectory) places.push_back(directory + "/" + name);
  return places;
}

// The layer's own bytes, out of the archive if there is one.
std::unique_ptr<const io::File> take_member(std::unique_ptr<const io::File> file,
                                            const std::optional<io::ByteRange>& member) {
  if (!member) return file;
  std::string name = file->name() + " (member at " + std::to_string(member->offset) + ")";
  return io::open_slice(std::move(file), *member, std::move(name));
}

bool is_lz4(std::unique_ptr<const io::File> file) {
  const std::optional<io::ByteRange> member = tar::find_layer(*file);
  const std::unique_ptr<const io::File> content = take_member(std::move(file), member);
  if (!zfile::is_zfile(*content)) return false;
  return zfile::describe(*content).header.algorithm ==
         static_cast<std::uint8_t>(zfile::Algorithm::lz4);
}

}  // namespace

LayerFile unwrap_layer(std::unique_ptr<const io::File> file, const UnwrapOptions& options) {
  LayerFile layer;
  layer.name = file->name();
  layer.file_bytes = file->size();
  layer.tar_member = tar::find_layer(*file);
  std::unique_ptr<const io::File> content = take_member(std::move(file), layer.tar_member);
  if (zfile::is_zfile(*content)) {
    auto compressed =
        std::make_unique<zfile::ZFile>(std::move(content), options.damage_listener);
    layer.zfile = compressed->header();
    content = std::move(compressed);
  } else if (options.damage_listener != nullptr) {
    content = io::open_reporting(std::move(content), *options.damage_listener);
  }
  layer.content = std::move(content);
  return layer;
}

LayerFile open_layer_file(const std::string& path, const UnwrapOptions& options) {
  std::unique_ptr<const io::File> file = io::open_file(path);
  if (!options.maps_files) return unwrap_layer(std::move(file), options);
  // Only lz4 is so quick that the copy counts. What the mapped file is shows in itself again: it
  // may have been replaced in between.
  if (is_lz4(std::move(file))) return unwrap_layer(io::open_mapped_file(path), options);
  return unwrap_layer(io::open_file(path), options);
}

std::optional<std::string> find_local_file(const LowerConfig& lower, const std::string& folder) {
  for (std::string& path : places_of(lower, folder)) {
    if (exists(path)) return std::move(path);
  }
  return std::nullopt;
}

std::vector<NamedFile> files_of(const ImageConfig& config, const std::string& folder) {
  std::vector<NamedFile> files;
  for (std::size_t at = 0; at < config.lowers.size(); ++at) {
    for (std::string& path : places_of(config.lowers[at], folder)) {
      files.push_back({"lowers[" + std::to_string(at) + "]", std::move(path)});
    }
  }
  if (config.upper) {
    files.push_back({"upper.data", resolve_path(config.upper->data, folder)});
    files.push_back({"upper.index", resolve_path(config.upper->index, folder)});
  }
  return files;
}

std::string resolve_path(const std::string& path, const std::string& folder) {
  if (path.starts_with('/')) return path;
  if (folder.empty()) {
    throw io::FormatError(EINVAL, path + ": is a relative path; an absolute one is needed here");
  }
  return folder + "/" + path;
}

}  // namespace varve::image
