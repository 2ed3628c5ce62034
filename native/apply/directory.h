// Directories of a volume, kept in memory while a layer is applied.
//
// libext2fs looks names up by reading a directory from front to back, so a thousand files in one
// directory would be half a million comparisons. Here a directory is read once, changed in memory,
// and written once: sorted, packed, and with a hash tree where it needs more than a block.
//
// Invariant: a directory that was not changed is not written.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "apply/volume.h"

namespace varve::apply {

struct DirectoryEntry {
  ext2_ino_t inode = 0;
  std::uint8_t type = EXT2_FT_UNKNOWN;
  bool is_of_this_layer = false;  // a whiteout does not reach it

  [[nodiscard]] bool is_directory() const noexcept { return type == EXT2_FT_DIR; }
  [[nodiscard]] bool is_symlink() const noexcept { return type == EXT2_FT_SYMLINK; }
};

struct Directory {
  ext2_ino_t inode = 0;
  ext2_ino_t parent = 0;
  bool is_changed = false;
  std::map<std::string, DirectoryEntry, std::less<>> entries;  // without . and ..
};

class Directories {
 public:
  explicit Directories(Volume& volume) : volume_(volume) {}

  // Reads it if it is not known yet. The reference is good until it is forgotten.
  Directory& get(ext2_ino_t inode);
  // One that was just made and has no blocks yet.
  Directory& add(ext2_ino_t inode, ext2_ino_t parent);
  void forget(ext2_ino_t inode) { known_.erase(inode); }

  // Writes what has changed, in the order of inodes.
  void write_all();

 private:
  std::unique_ptr<Directory> load(ext2_ino_t inode) const;
  void write(const Directory& directory);

  Volume& volume_;
  std::unordered_map<ext2_ino_t, std::unique_ptr<Directory>> known_;
};

}  // namespace varve::apply
