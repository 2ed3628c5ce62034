// Volume::make: an empty ext4 with the features of those that overlaybd makes.
//
// The uuid and the hash seed are zero, as they are there: fixed they have to be, and of all fixed
// uuids this is the one that udev and blkid take for none, so that two images on one machine do not
// fight for a name. The kernel hashes with its own seed then.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "apply/apply_error.h"
#include "apply/ext2_channel.h"
#include "apply/volume.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

constexpr std::uint32_t kBlockSize = 4096;
constexpr std::uint64_t kBytesPerInode = 16384;
constexpr std::uint64_t kReservedDivisor = 20;  // 5 %
constexpr std::uint16_t kInodeSize = 256;
constexpr std::uint16_t kExtraInodeSize = 32;
constexpr int kLostAndFoundBlocks = 3;
constexpr std::uint64_t kBytesMin = std::uint64_t{1} << 20;

void set_features(ext2_super_block& super) {
  ext2fs_set_feature_xattr(&super);
  ext2fs_set_feature_resize_inode(&super);
  ext2fs_set_feature_dir_index(&super);
  ext2fs_set_feature_sparse_super2(&super);
  ext2fs_set_feature_filetype(&super);
  ext2fs_set_feature_extents(&super);
  ext2fs_set_feature_64bit(&super);
  ext2fs_set_feature_flex_bg(&super);
  ext2fs_set_feature_sparse_super(&super);
  ext2fs_set_feature_large_file(&super);
  ext2fs_set_feature_huge_file(&super);
  ext2fs_set_feature_dir_nlink(&super);
  ext2fs_set_feature_extra_isize(&super);
}

ext2_super_block parameters(std::uint64_t size) {
  ext2_super_block super{};
  set_features(super);
  super.s_rev_level = EXT2_DYNAMIC_REV;
  super.s_log_block_size = 2;
  super.s_log_cluster_size = 2;
  super.s_inode_size = kInodeSize;
  super.s_log_groups_per_flex = 4;
  super.s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
  super.s_backup_bgs[0] = 1;
  super.s_backup_bgs[1] = ~std::uint32_t{0};
  const std::uint64_t blocks = size / kBlockSize;
  ext2fs_blocks_count_set(&super, blocks);
  ext2fs_r_blocks_count_set(&super, blocks / kReservedDivisor);
  super.s_inodes_count = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(blocks * kBlockSize / kBytesPerInode, UINT32_MAX));
  return super;
}

void finish_superblock(ext2_super_block& super) {
  std::memset(super.s_uuid, 0, sizeof super.s_uuid);
  std::memset(super.s_hash_seed, 0, sizeof super.s_hash_seed);
  super.s_def_hash_version = EXT2_HASH_HALF_MD4;
  super.s_flags |= EXT2_FLAGS_SIGNED_HASH;
  super.s_max_mnt_count = -1;
  super.s_checkinterval = 0;
  super.s_min_extra_isize = kExtraInodeSize;
  super.s_want_extra_isize = kExtraInodeSize;
  super.s_mkfs_time = kFixedTime;
  super.s_lastcheck = kFixedTime;
  super.s_wtime = kFixedTime;
}

void make_directories(ext2_filsys fs) {
  check_ext2(ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, nullptr), "make the root directory");
  fs->umask = 077;
  check_ext2(ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, "lost+found"), "make lost+found");
  ext2_ino_t lost_and_found = 0;
  check_ext2(ext2fs_lookup(fs, EXT2_ROOT_INO, "lost+found", 10, nullptr, &lost_and_found),
             "find lost+found");
  for (int blocks = 1; blocks < kLostAndFoundBlocks; ++blocks) {
    check_ext2(ext2fs_expand_dir(fs, lost_and_found), "make room in lost+found");
  }
}

void reserve_inodes(ext2_filsys fs) {
  for (ext2_ino_t ino = EXT2_ROOT_INO + 1; ino < EXT2_FIRST_INODE(fs->super); ++ino) {
    ext2fs_inode_alloc_stats2(fs, ino, +1, 0);
  }
  // The inode of bad blocks: it is in use, and empty.
  ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, +1, 0);
  check_ext2(ext2fs_update_bb_inode(fs, nullptr), "write the inode of bad blocks");
  check_ext2(ext2fs_create_resize_inode(fs), "write the inode for resizing");
}

}  // namespace

Volume Volume::make(BlockCache& cache) {
  BlockStore& store = cache.store();
  const std::uint64_t size = store.size() / kBlockSize * kBlockSize;
  if (size < kBytesMin) {
    throw ApplyError(ENOSPC, store.name() + ": " + std::to_string(store.size()) +
                                 " bytes are too few for an ext4 file system");
  }
  if (!store.is_blank()) {
    // Tables of inodes are taken for zeros, and nothing of before is to shine through.
    if (const int error = store.discard({0, size}); error != 0) {
      throw ApplyError(-error, store.name() + ": cannot clear it: " + io::error_text(-error));
    }
  }
  ext2_super_block super = parameters(size);
  ext2_filsys fs = nullptr;
  const ChannelTarget target(cache);
  check_ext2(ext2fs_initialize("varve", EXT2_FLAG_64BITS, &super, channel_manager(), &fs),
             "lay out a file system");
  Volume volume(cache, fs);
  fs->now = kFixedTime;
  finish_superblock(*fs->super);
  check_ext2(ext2fs_allocate_tables(fs), "allocate the file system's tables");
  make_directories(fs);
  reserve_inodes(fs);
  ext2fs_mark_super_dirty(fs);
  volume.flush();
  fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
  return volume;
}

}  // namespace varve::apply
