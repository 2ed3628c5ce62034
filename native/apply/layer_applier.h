// What each member of a layer does to the tree of a volume.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "apply/archive_entry.h"
#include "apply/archive_reader.h"
#include "apply/tree.h"

namespace varve::apply {

class LayerApplier {
 public:
  // `content_taken` is called with each piece of content, and must not throw.
  LayerApplier(Volume& volume, ArchiveReader& archive, std::function<void()> content_taken)
      : volume_(volume),
        archive_(archive),
        content_taken_(std::move(content_taken)),
        tree_(volume) {}

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
  std::function<void()> content_taken_;
  Tree tree_;
  blk64_t goal_ = ~blk64_t{0};  // where to look for free blocks
};

}  // namespace varve::apply
