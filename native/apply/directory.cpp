#include "apply/directory.h"

#include <algorithm>
#include <cerrno>
#include <exception>

#include "apply/apply_error.h"
#include "apply/directory_blocks.h"
#include "apply/inode.h"

namespace varve::apply {

namespace {

struct Loading {
  const Volume& volume;
  Directory& directory;
  std::exception_ptr failure;
};

void take(Loading& loading, const ext2_dir_entry& entry) {
  auto* raw = const_cast<ext2_dir_entry*>(&entry);
  const std::string name(raw->name, static_cast<std::size_t>(ext2fs_dirent_name_len(raw)));
  if (name == ".") return;
  if (name == "..") {
    loading.directory.parent = raw->inode;
    return;
  }
  check_inode_number(loading.volume, raw->inode);
  const DirectoryEntry taken{raw->inode, static_cast<std::uint8_t>(ext2fs_dirent_file_type(raw)),
                             false};
  if (!loading.directory.entries.emplace(name, taken).second) {
    throw ApplyError(EUCLEAN, "a directory of the file system has " + quoted(name) +
                                  " twice: run e2fsck on it");
  }
}

int take_entry(ext2_ino_t /*directory*/, int /*kind*/, ext2_dir_entry* entry, int /*offset*/,
               int /*block_size*/, char* /*buffer*/, void* context) {
  auto& loading = *static_cast<Loading*>(context);
  try {
    take(loading, *entry);
    return 0;
  } catch (...) {
    loading.failure = std::current_exception();
    return DIRENT_ABORT;
  }
}

std::uint64_t subdirectory_count(const Directory& directory) {
  return static_cast<std::uint64_t>(
      std::count_if(directory.entries.begin(), directory.entries.end(),
                    [](const auto& entry) { return entry.second.is_directory(); }));
}

// More subdirectories than a count of links can say are counted as 1, where the feature is there.
std::uint16_t link_count(const Volume& volume, const Directory& directory) {
  const std::uint64_t links = 2 + subdirectory_count(directory);
  if (links < EXT2_LINK_MAX) return static_cast<std::uint16_t>(links);
  if (ext2fs_has_feature_dir_nlink(volume.fs()->super) == 0) {
    throw ApplyError(EMLINK, "a directory has too many subdirectories for this file system");
  }
  return 1;
}

// Makes the directory `count` blocks long. Blocks beyond would have to be in its tree.
void set_length(const Volume& volume, ext2_ino_t number, Inode& inode, std::uint64_t count) {
  const std::uint64_t present = inode.size() / volume.block_size();
  if (count > present) {
    check_ext2(ext2fs_fallocate(volume.fs(), EXT2_FALLOCATE_FORCE_INIT, number, inode.base(),
                                ~blk64_t{0}, present, count - present),
               "allocate blocks for a directory");
  } else if (count < present) {
    check_ext2(ext2fs_punch(volume.fs(), number, inode.base(), nullptr, count, ~blk64_t{0}),
               "free blocks of a directory");
  }
  inode.set_size(volume, count * volume.block_size());
}

}  // namespace

std::unique_ptr<Directory> Directories::load(ext2_ino_t number) const {
  Inode inode = Inode::read(volume_, number);
  if (!inode.is_directory()) {
    throw ApplyError(EUCLEAN, "a name of the file system says that inode " +
                                  std::to_string(number) +
                                  " is a directory, which it is not: run e2fsck on it");
  }
  auto directory = std::make_unique<Directory>();
  directory->inode = number;
  Loading loading{volume_, *directory, nullptr};
  const errcode_t code = ext2fs_dir_iterate2(volume_.fs(), number, 0, nullptr, take_entry,
                                             &loading);
  if (loading.failure) std::rethrow_exception(loading.failure);
  check_ext2(code, "read a directory of the file system");
  if (directory->parent != EXT2_ROOT_INO) check_inode_number(volume_, directory->parent);
  return directory;
}

Directory& Directories::get(ext2_ino_t inode) {
  if (const auto found = known_.find(inode); found != known_.end()) return *found->second;
  return *known_.emplace(inode, load(inode)).first->second;
}

Directory& Directories::add(ext2_ino_t inode, ext2_ino_t parent) {
  auto directory = std::make_unique<Directory>();
  directory->inode = inode;
  directory->parent = parent;
  directory->is_changed = true;
  return *known_.insert_or_assign(inode, std::move(directory)).first->second;
}

void Directories::write(const Directory& directory) {
  Inode inode = Inode::read(volume_, directory.inode);
  DirectoryBlocks packed = pack_directory(volume_, directory);
  set_length(volume_, directory.inode, inode, packed.blocks.size());
  inode.base()->i_links_count = link_count(volume_, directory);
  inode.base()->i_flags &= ~static_cast<std::uint32_t>(EXT2_INDEX_FL);
  if (packed.is_hash_tree) inode.base()->i_flags |= EXT2_INDEX_FL;
  inode.write(volume_, directory.inode);
  for (std::size_t at = 0; at < packed.blocks.size(); ++at) {
    blk64_t block = 0;
    check_ext2(ext2fs_bmap2(volume_.fs(), directory.inode, inode.base(), nullptr, 0, at, nullptr,
                            &block),
               "find a block of a directory");
    if (block == 0) throw ApplyError(EUCLEAN, "a directory has a hole: run e2fsck on it");
    check_ext2(ext2fs_write_dir_block4(volume_.fs(), block, packed.blocks[at].data(), 0,
                                       directory.inode),
               "write a directory");
  }
}

void Directories::write_all() {
  std::vector<const Directory*> changed;
  for (const auto& [inode, directory] : known_) {
    if (directory->is_changed) changed.push_back(directory.get());
  }
  std::sort(changed.begin(), changed.end(),
            [](const Directory* one, const Directory* other) { return one->inode < other->inode; });
  for (const Directory* directory : changed) write(*directory);
}

}  // namespace varve::apply
