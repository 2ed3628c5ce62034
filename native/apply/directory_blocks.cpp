#include "apply/directory_blocks.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <tuple>

#include "apply/apply_error.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kEntryHeader = 8;
constexpr std::size_t kChecksumEntry = 12;  // the last entry of a block with a checksum
constexpr std::size_t kTreeTail = 8;        // the same for a block of a tree
constexpr std::size_t kTreeInfo = 24;       // where the root says what tree it is
constexpr std::size_t kRootEntries = 32;
constexpr std::size_t kNodeEntries = 8;
constexpr std::size_t kTreeEntry = 8;

struct Name {
  std::string_view text;
  ext2_ino_t inode = 0;
  std::uint8_t type = 0;
  ext2_dirhash_t hash = 0;
  ext2_dirhash_t minor_hash = 0;
};

std::size_t entry_length(std::size_t name_length) {
  return (kEntryHeader + name_length + 3) / 4 * 4;
}

// Fills one block from front to back.
class BlockWriter {
 public:
  explicit BlockWriter(const Volume& volume)
      : fs_(volume.fs()), bytes_(volume.block_size()), end_(bytes_.size()) {
    if (ext2fs_has_feature_metadata_csum(fs_->super) != 0) end_ -= kChecksumEntry;
  }

  [[nodiscard]] bool has_room(const Name& name) const {
    return entry_length(name.text.size()) <= end_ - used_;
  }
  [[nodiscard]] bool is_empty() const { return used_ == 0; }

  void put(const Name& name) {
    last_ = used_;
    auto* entry = at(used_);
    entry->inode = name.inode;
    ext2fs_dirent_set_name_len(entry, static_cast<int>(name.text.size()));
    ext2fs_dirent_set_file_type(entry, name.type);
    std::memcpy(entry->name, name.text.data(), name.text.size());
    set_length(entry, entry_length(name.text.size()));
    used_ += entry_length(name.text.size());
  }

  Bytes finish() {
    set_length(at(last_), end_ - last_);
    if (end_ < bytes_.size()) ext2fs_initialize_dirent_tail(fs_, tail());
    return std::move(bytes_);
  }

 private:
  ext2_dir_entry* at(std::size_t offset) {
    return reinterpret_cast<ext2_dir_entry*>(bytes_.data() + offset);
  }
  ext2_dir_entry_tail* tail() {
    return reinterpret_cast<ext2_dir_entry_tail*>(bytes_.data() + end_);
  }
  void set_length(ext2_dir_entry* entry, std::size_t length) {
    check_ext2(ext2fs_set_rec_len(fs_, static_cast<unsigned>(length), entry),
               "write a directory");
  }

  ext2_filsys fs_;
  Bytes bytes_;
  std::size_t end_;
  std::size_t used_ = 0;
  std::size_t last_ = 0;
};

Name self_of(const Directory& directory) { return {".", directory.inode, EXT2_FT_DIR, 0, 0}; }
Name parent_of(const Directory& directory) { return {"..", directory.parent, EXT2_FT_DIR, 0, 0}; }

std::vector<Name> names_of(const Directory& directory) {
  std::vector<Name> names;
  names.reserve(directory.entries.size());
  for (const auto& [text, entry] : directory.entries) {
    names.push_back({text, entry.inode, entry.type, 0, 0});
  }
  return names;
}

void pack_into(const Volume& volume, BlockWriter& writer, const std::vector<Name>& names,
               std::vector<Bytes>& blocks) {
  for (const Name& name : names) {
    if (!writer.has_room(name)) {
      blocks.push_back(writer.finish());
      writer = BlockWriter(volume);
    }
    writer.put(name);
  }
  blocks.push_back(writer.finish());
}

// One block of a tree, but for what it begins with: a count, and pairs of hash and block.
class TreeBlock {
 public:
  TreeBlock(const Volume& volume, std::size_t entries_offset)
      : bytes_(volume.block_size()), offset_(entries_offset), limit_(limit(volume, offset_)) {}

  static std::size_t limit(const Volume& volume, std::size_t entries_offset) {
    const bool has_checksum = ext2fs_has_feature_metadata_csum(volume.fs()->super) != 0;
    const std::size_t tail = has_checksum ? kTreeTail : 0;
    return (volume.block_size() - entries_offset - tail) / kTreeEntry;
  }

  void put(ext2_dirhash_t hash, std::size_t block) {
    std::byte* entry = bytes_.data() + offset_ + count_ * kTreeEntry;
    // The first stands for all hashes below the second; in its place is the count.
    if (count_ != 0) io::store(entry, hash);
    io::store(entry + 4, static_cast<std::uint32_t>(block));
    ++count_;
    io::store(bytes_.data() + offset_, static_cast<std::uint16_t>(limit_));
    io::store(bytes_.data() + offset_ + 2, static_cast<std::uint16_t>(count_));
  }

  [[nodiscard]] Bytes& bytes() { return bytes_; }

 private:
  Bytes bytes_;
  std::size_t offset_;
  std::size_t limit_;
  std::size_t count_ = 0;
};

void begin_root(const Volume& volume, const Directory& directory, unsigned levels, Bytes& bytes) {
  const ext2_filsys fs = volume.fs();
  const auto put = [&](std::size_t offset, const Name& name, std::size_t length) {
    auto* entry = reinterpret_cast<ext2_dir_entry*>(bytes.data() + offset);
    entry->inode = name.inode;
    ext2fs_dirent_set_name_len(entry, static_cast<int>(name.text.size()));
    ext2fs_dirent_set_file_type(entry, name.type);
    std::memcpy(entry->name, name.text.data(), name.text.size());
    check_ext2(ext2fs_set_rec_len(fs, static_cast<unsigned>(length), entry), "write a directory");
  };
  const std::size_t self_length = entry_length(1);
  put(0, self_of(directory), self_length);
  put(self_length, parent_of(directory), bytes.size() - self_length);
  auto* info = reinterpret_cast<ext2_dx_root_info*>(bytes.data() + kTreeInfo);
  info->hash_version = fs->super->s_def_hash_version;
  info->info_length = sizeof *info;
  info->indirect_levels = static_cast<std::uint8_t>(levels);
}

void begin_node(const Volume& volume, Bytes& bytes) {
  check_ext2(ext2fs_set_rec_len(volume.fs(), volume.block_size(),
                                reinterpret_cast<ext2_dir_entry*>(bytes.data())),
             "write a directory");
}

void hash_names(const Volume& volume, std::vector<Name>& names) {
  const ext2_super_block& super = *volume.fs()->super;
  int version = super.s_def_hash_version;
  if ((super.s_flags & EXT2_FLAGS_UNSIGNED_HASH) != 0) version += EXT2_HASH_LEGACY_UNSIGNED;
  for (Name& name : names) {
    check_ext2(ext2fs_dirhash2(version, name.text.data(), static_cast<int>(name.text.size()),
                               nullptr, 0, super.s_hash_seed, &name.hash, &name.minor_hash),
               "hash a name");
  }
  std::sort(names.begin(), names.end(), [](const Name& one, const Name& other) {
    return std::tie(one.hash, one.minor_hash, one.text) <
           std::tie(other.hash, other.minor_hash, other.text);
  });
}

struct Leaf {
  ext2_dirhash_t first_hash = 0;
  Bytes bytes;
};

std::vector<Leaf> pack_leaves(const Volume& volume, const std::vector<Name>& names) {
  std::vector<Leaf> leaves;
  BlockWriter writer(volume);
  ext2_dirhash_t first = names.front().hash;
  ext2_dirhash_t last = first;
  for (const Name& name : names) {
    if (!writer.has_room(name)) {
      leaves.push_back({first, writer.finish()});
      writer = BlockWriter(volume);
      // The lowest bit says that names with this hash are in the block before, too.
      first = name.hash == last ? name.hash | 1 : name.hash;
    }
    writer.put(name);
    last = name.hash;
  }
  leaves.push_back({first, writer.finish()});
  return leaves;
}

// Block 0 is the root, then come the nodes between, if any, then the leaves.
std::vector<Bytes> build_tree(const Volume& volume, const Directory& directory,
                              std::vector<Leaf> leaves) {
  const std::size_t root_limit = TreeBlock::limit(volume, kRootEntries);
  const std::size_t node_limit = TreeBlock::limit(volume, kNodeEntries);
  const bool has_nodes = leaves.size() > root_limit;
  const std::size_t nodes = has_nodes ? (leaves.size() + node_limit - 1) / node_limit : 0;
  TreeBlock root(volume, kRootEntries);
  begin_root(volume, directory, has_nodes ? 1 : 0, root.bytes());
  std::vector<Bytes> between;
  for (std::size_t node = 0; node < nodes; ++node) {
    const std::size_t first = node * node_limit;
    root.put(leaves[first].first_hash, 1 + node);
    TreeBlock block(volume, kNodeEntries);
    begin_node(volume, block.bytes());
    for (std::size_t at = first; at < std::min(first + node_limit, leaves.size()); ++at) {
      block.put(leaves[at].first_hash, 1 + nodes + at);
    }
    between.push_back(std::move(block.bytes()));
  }
  for (std::size_t at = 0; at < leaves.size() && !has_nodes; ++at) {
    root.put(leaves[at].first_hash, 1 + at);
  }
  std::vector<Bytes> blocks;
  blocks.push_back(std::move(root.bytes()));
  for (Bytes& node : between) blocks.push_back(std::move(node));
  for (Leaf& leaf : leaves) blocks.push_back(std::move(leaf.bytes));
  return blocks;
}

bool can_have_tree(const Volume& volume) {
  const ext2_super_block& super = *volume.fs()->super;
  return ext2fs_has_feature_dir_index(volume.fs()->super) != 0 &&
         super.s_def_hash_version <= EXT2_HASH_TEA;
}

}  // namespace

DirectoryBlocks pack_directory(const Volume& volume, const Directory& directory) {
  std::vector<Name> names = names_of(directory);
  DirectoryBlocks packed;
  BlockWriter first(volume);
  first.put(self_of(directory));
  first.put(parent_of(directory));
  pack_into(volume, first, names, packed.blocks);
  if (packed.blocks.size() == 1 || !can_have_tree(volume)) return packed;
  hash_names(volume, names);
  std::vector<Leaf> leaves = pack_leaves(volume, names);
  // More than two levels need a feature of their own; tens of millions of names stay in a row.
  if (leaves.size() > TreeBlock::limit(volume, kRootEntries) *
                          TreeBlock::limit(volume, kNodeEntries)) {
    return packed;
  }
  packed.blocks = build_tree(volume, directory, std::move(leaves));
  packed.is_hash_tree = true;
  return packed;
}

}  // namespace varve::apply
