// One member of a layer's tar, whatever format says it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apply/inode.h"
#include "apply/sparse_map.h"
#include "apply/xattrs.h"

namespace varve::apply {

enum class EntryType {
  kFile,
  kDirectory,
  kSymlink,
  kHardLink,
  kCharacterDevice,
  kBlockDevice,
  kFifo,
};

struct ArchiveEntry {
  std::uint64_t offset = 0;  // of the header in the uncompressed archive
  EntryType type = EntryType::kFile;
  std::string path;
  std::string link_target;
  Attributes attributes{};
  std::vector<Xattr> xattrs;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::uint64_t size = 0;    // of the file
  std::uint64_t stored = 0;  // bytes in the archive
  SparseMap parts;           // where they go
};

}  // namespace varve::apply
