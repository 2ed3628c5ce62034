// The tree of names of a volume: finding, adding, replacing and deleting.
//
// A path is cleaned before anything else: what `..` would leave stays at the root, as for a process
// that has it as its root. Symlinks on the way to the last part are followed in the same way, so no
// name, whatever it says, means anything outside of the volume.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apply/directory.h"
#include "apply/inode.h"

namespace varve::apply {

// The parts of a path; none of them is empty, `.` or `..`.
using Path = std::vector<std::string>;
// Throws ApplyError for a part that is too long or a zero byte.
Path clean_path(std::string_view path);

class Tree {
 public:
  explicit Tree(Volume& volume) : volume_(volume), directories_(volume) {}

  // Directories on the way that are missing are made, with fixed attributes. Parts of `path` but
  // the last.
  Directory& make_parents(const Path& path);
  // Empty where it is missing.
  std::optional<ext2_ino_t> find_parents(const Path& path);

  [[nodiscard]] const DirectoryEntry* find(ext2_ino_t directory, const std::string& name);

  // Makes the name one of this layer; what had it before is deleted, whatever it was.
  void put(ext2_ino_t directory, const std::string& name, ext2_ino_t inode, std::uint8_t type);
  // A directory without any names yet; it needs to be put.
  ext2_ino_t new_directory(ext2_ino_t parent, const Attributes& attributes);
  // One more name for an inode; returns what kind it is.
  std::uint8_t add_link(ext2_ino_t inode);
  void drop_link(ext2_ino_t inode);
  // Says that a directory below is one of this layer, too.
  void claim(ext2_ino_t directory, const std::string& name);

  // Deletes what layers below say; what this layer put there stays.
  void remove_below(ext2_ino_t directory, const std::string& name);
  void empty_below(ext2_ino_t directory);

  void write_directories() { directories_.write_all(); }

 private:
  enum class Missing { kMake, kReport };
  std::optional<ext2_ino_t> walk(const Path& path, std::size_t count, Missing missing);
  void remove_all(ext2_ino_t directory, const std::string& name);

  Volume& volume_;
  Directories directories_;
};

}  // namespace varve::apply
