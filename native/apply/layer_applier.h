// What each member of a layer does to the tree of a volume.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "apply/archive_entry.h"
#include "apply/archive_reader.h"
#include "apply/tree.h"

namespace varve::apply {

class LayerApplier {
 public:
  LayerApplier(Volume& volume, ArchiveReader& archive)
      : volume_(volume), archive_(archive), tree_(volume) {}

  // Returns the names of xattrs that were left out. Throws ApplyError.
  std::vector<std::string> apply(const ArchiveEntry& entry);
  // Writes the directories; the volume is complete then, but not flushed.
  void finish() { tree_.write_directories(); }

 private:
  // Whether the name was a mark and not that of a file.
  bool apply_whiteout(const Path& path);
  std::vector<std::string> apply_directory(const ArchiveEntry& entry, const Path& path);
  void apply_hard_link(const ArchiveEntry& entry, const Path& path);
  std::vector<std::string> apply_other(const ArchiveEntry& entry, const Path& path);
  void make_file(const ArchiveEntry& entry, ext2_ino_t number, Inode& inode);
  void make_symlink(const ArchiveEntry& entry, ext2_ino_t number, Inode& inode);

  Volume& volume_;
  ArchiveReader& archive_;
  Tree tree_;
  blk64_t goal_ = ~blk64_t{0};  // where to look for free blocks
};

}  // namespace varve::apply
