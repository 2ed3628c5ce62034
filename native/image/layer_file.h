// One lower layer, from what a configuration says about it to a layer that can be read.
//
// The file is the first of these that exists: `file`, then in `directory` overlaybd.commit,
// .commit, overlaybd.sealed. Without a directory nothing is looked for in one. What wraps the layer
// shows in the content: a tar archive around it, a ZFile around it, or a ZFile in a tar archive.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "image/blob_source.h"
#include "image/image_config.h"
#include "io/file.h"
#include "lsmt/read_only_layer.h"
#include "zfile/format.h"

namespace varve::image {

// What a file turned out to be, and the layer in it.
struct LayerFile {
  std::string name;                        // the path, or what a source calls the blob
  std::uint64_t file_bytes = 0;            // as stored, wrapping and all
  std::optional<io::ByteRange> tar_member;  // where the layer lies in a tar archive
  std::optional<zfile::Header> zfile;      // of a compressed layer, the header that counts
  std::shared_ptr<const io::File> content;  // the bytes of the LSMT layer; of an upper one null
};

struct UnwrapOptions {
  // Told of damage; may be null, must live as long as the layer.
  io::DamageListener* damage_listener = nullptr;
  // Whether lz4 layers are read where they lie in the page cache (io/mapped_file.h).
  bool maps_files = true;
};

// Opens a file on disk and takes off what wraps the layer; throws io::FormatError. The LSMT layer
// itself is not looked at.
LayerFile open_layer_file(const std::string& path, const UnwrapOptions& options = {});
// The same for a file that is open.
LayerFile unwrap_layer(std::unique_ptr<const io::File> file, const UnwrapOptions& options = {});

// The path of a lower's local file, or nothing if there is none. `folder` is where relative paths
// are taken from.
std::optional<std::string> find_local_file(const LowerConfig& lower, const std::string& folder);

// A file that a configuration names, and what it is there, such as upper.data.
struct NamedFile {
  std::string key;
  std::string path;
};
// All of them, lowest first; of a lower every place where its file may be, whether there is one or
// not. Throws io::FormatError.
std::vector<NamedFile> files_of(const ImageConfig& config, const std::string& folder);

// `path` itself if it is absolute, else in `folder`; throws io::FormatError for a relative one
// without a folder.
std::string resolve_path(const std::string& path, const std::string& folder);

}  // namespace varve::image
