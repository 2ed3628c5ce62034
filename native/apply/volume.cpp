#include "apply/volume.h"

// A header of C alone.
extern "C" {
#include <e2p/e2p.h>
}

#include <cerrno>
#include <string>

#include "apply/apply_error.h"
#include "apply/ext2_channel.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

// Features with which changes by this library are right. A journal is left alone: it is empty.
constexpr std::uint32_t kIncompatKnown =
    EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT |
    EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT2_FEATURE_INCOMPAT_META_BG |
    EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT4_FEATURE_INCOMPAT_LARGEDIR;
constexpr std::uint32_t kIncompatNeeded =
    EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS;
constexpr std::uint32_t kReadOnlyCompatKnown =
    EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
    EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |
    EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
    EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;

[[noreturn]] void refuse(const BlockCache& cache, int error, const std::string& why) {
  throw ApplyError(error, cache.store().name() + ": " + why);
}

std::string feature_names(int kind, std::uint32_t mask) {
  std::string names;
  for (unsigned bit = 0; bit < 32; ++bit) {
    const std::uint32_t one = mask & (std::uint32_t{1} << bit);
    if (one == 0) continue;
    if (!names.empty()) names += ", ";
    names += e2p_feature2string(kind, one);
  }
  return names;
}

void check_features(const BlockCache& cache, const ext2_super_block& super) {
  if ((super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER) != 0) {
    refuse(cache, EUCLEAN,
           "the file system was not unmounted: its journal is to be replayed first (mount it once, "
           "or run e2fsck)");
  }
  const std::uint32_t incompat = super.s_feature_incompat & ~kIncompatKnown;
  const std::uint32_t read_only = super.s_feature_ro_compat & ~kReadOnlyCompatKnown;
  if (incompat != 0 || read_only != 0) {
    std::string names = feature_names(E2P_FEATURE_INCOMPAT, incompat);
    const std::string more = feature_names(E2P_FEATURE_RO_INCOMPAT, read_only);
    if (!names.empty() && !more.empty()) names += ", ";
    refuse(cache, EOPNOTSUPP,
           "the file system has features with which layers cannot be applied: " + names + more);
  }
  if ((super.s_feature_incompat & kIncompatNeeded) != kIncompatNeeded ||
      super.s_rev_level < EXT2_DYNAMIC_REV) {
    refuse(cache, EOPNOTSUPP, "the file system is ext2 or ext3; layers are applied to ext4");
  }
  if ((super.s_state & EXT2_VALID_FS) == 0 || (super.s_state & EXT2_ERROR_FS) != 0) {
    refuse(cache, EUCLEAN,
           "the file system says that it was not unmounted or is damaged: run e2fsck on it first");
  }
}

// libext2fs takes it for granted, and writes outside of its bitmaps otherwise.
void check_first_block(const BlockCache& cache, const ext2_super_block& super) {
  const std::uint32_t first = super.s_log_block_size == 0 ? 1 : 0;
  if (super.s_first_data_block == first) return;
  refuse(cache, EUCLEAN,
         "the file system's superblock is damaged: it says that its groups begin at block " +
             std::to_string(super.s_first_data_block) + ", which can only be " +
             std::to_string(first) + ": run e2fsck on it");
}

// The kernel counts at each mount, so that a total may be wrong: overlaybd's are.
void count_free(const BlockCache& cache, ext2_filsys fs) {
  ext2_super_block& super = *fs->super;
  std::uint64_t blocks = 0;
  std::uint64_t inodes = 0;
  for (dgrp_t group = 0; group < fs->group_desc_count; ++group) {
    blocks += ext2fs_bg_free_blocks_count(fs, group);
    inodes += ext2fs_bg_free_inodes_count(fs, group);
  }
  if (blocks > ext2fs_blocks_count(&super) || inodes > super.s_inodes_count) {
    refuse(cache, EUCLEAN,
           "the file system says that more is free than there is: run e2fsck on it first");
  }
  ext2fs_free_blocks_count_set(&super, blocks);
  super.s_free_inodes_count = static_cast<std::uint32_t>(inodes);
}

}  // namespace

Volume Volume::open(BlockCache& cache) {
  ext2_filsys fs = nullptr;
  const ChannelTarget target(cache);
  const errcode_t code = ext2fs_open2("varve", nullptr, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0,
                                      channel_manager(), &fs);
  if (code == EXT2_ET_BAD_MAGIC || code == EXT2_ET_SHORT_READ) {
    refuse(cache, EINVAL, "there is no ext4 file system (one is made with --mkfs)");
  }
  if (code != 0) throw_ext2_error(code, "open the file system of " + cache.store().name());
  Volume volume(cache, fs);
  check_features(cache, *fs->super);
  check_first_block(cache, *fs->super);
  if (ext2fs_blocks_count(fs->super) > cache.store().size() / fs->blocksize) {
    refuse(cache, EUCLEAN, "the file system is larger than its disk");
  }
  count_free(cache, fs);
  fs->now = kFixedTime;
  // As the kernel does: copies of the superblock are for what never changes.
  fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
  check_ext2(ext2fs_read_bitmaps(fs), "read the bitmaps of the file system");
  return volume;
}

void Volume::flush() {
  check_ext2(ext2fs_flush(fs_.get()), "write the file system's bitmaps and superblock");
  if (const int error = cache_->flush(); error != 0) {
    throw ApplyError(-error,
                     "cannot write to " + cache_->store().name() + ": " + io::error_text(-error));
  }
}

}  // namespace varve::apply
