// The blocks of a directory: names packed one after the other, or in a hash tree where they need
// more than one block and the file system has such trees.
#pragma once

#include <cstddef>
#include <vector>

#include "apply/directory.h"

namespace varve::apply {

struct DirectoryBlocks {
  std::vector<std::vector<std::byte>> blocks;
  bool is_hash_tree = false;
};

DirectoryBlocks pack_directory(const Volume& volume, const Directory& directory);

}  // namespace varve::apply
