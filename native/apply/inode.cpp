#include "apply/inode.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "apply/apply_error.h"

namespace varve::apply {

namespace {

constexpr std::size_t kOldInodeSize = EXT2_GOOD_OLD_INODE_SIZE;
// Two bits more than 32 count on from 2038.
constexpr std::int64_t kSecondsMin = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kSecondsMax =
    std::numeric_limits<std::int32_t>::max() + (std::int64_t{3} << 32);

std::uint32_t low_seconds(std::int64_t seconds) {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(seconds));
}

std::uint32_t extra_time(std::int64_t seconds, std::uint32_t nanoseconds) {
  const auto low = static_cast<std::int32_t>(low_seconds(seconds));
  const auto epoch = static_cast<std::uint32_t>((seconds - low) >> 32) & 3;
  return epoch | (nanoseconds << 2);
}

std::uint16_t extra_size(const Volume& volume, std::size_t inode_size) {
  const std::size_t room = inode_size - kOldInodeSize;
  const std::size_t wanted =
      std::max<std::size_t>(volume.fs()->super->s_want_extra_isize, std::size_t{32});
  const std::size_t known = sizeof(ext2_inode_large) - kOldInodeSize;
  return static_cast<std::uint16_t>(std::min({room, wanted, known}));
}

}  // namespace

Inode::Inode(const Volume& volume)
    : bytes_(std::max<std::size_t>(EXT2_INODE_SIZE(volume.fs()->super), sizeof(ext2_inode_large))) {
  const std::size_t inode_size = EXT2_INODE_SIZE(volume.fs()->super);
  bytes_.resize(inode_size);
  if (inode_size > kOldInodeSize) large()->i_extra_isize = extra_size(volume, inode_size);
}

Inode Inode::read(const Volume& volume, ext2_ino_t number) {
  Inode inode(volume);
  check_ext2(ext2fs_read_inode_full(volume.fs(), number, inode.base(),
                                    static_cast<int>(inode.bytes_.size())),
             "read an inode");
  return inode;
}

void Inode::write(const Volume& volume, ext2_ino_t number) {
  check_ext2(
      ext2fs_write_inode_full(volume.fs(), number, base(), static_cast<int>(bytes_.size())),
      "write an inode");
}

void Inode::set_attributes(const Attributes& attributes) {
  ext2_inode& inode = *base();
  inode.i_mode = static_cast<std::uint16_t>((inode.i_mode & LINUX_S_IFMT) |
                                            (attributes.permissions & 07777));
  inode.i_uid = static_cast<std::uint16_t>(attributes.uid);
  inode.osd2.linux2.l_i_uid_high = static_cast<std::uint16_t>(attributes.uid >> 16);
  inode.i_gid = static_cast<std::uint16_t>(attributes.gid);
  inode.osd2.linux2.l_i_gid_high = static_cast<std::uint16_t>(attributes.gid >> 16);

  // As the kernel does with what it cannot keep.
  const bool has_extra = bytes_.size() > kOldInodeSize && large()->i_extra_isize >= 24;
  const std::int64_t max =
      has_extra ? kSecondsMax : std::int64_t{std::numeric_limits<std::int32_t>::max()};
  const std::int64_t seconds = std::clamp(attributes.time.seconds, kSecondsMin, max);
  inode.i_mtime = inode.i_atime = inode.i_ctime = low_seconds(seconds);
  if (!has_extra) return;
  const std::uint32_t nanoseconds =
      seconds == attributes.time.seconds ? attributes.time.nanoseconds : 0;
  const std::uint32_t extra = extra_time(seconds, nanoseconds);
  large()->i_mtime_extra = large()->i_atime_extra = large()->i_ctime_extra = extra;
  large()->i_crtime = low_seconds(seconds);
  large()->i_crtime_extra = extra;
}

void Inode::set_empty_extents() {
  base()->i_flags |= EXT4_EXTENTS_FL;
  const ext3_extent_header header = {EXT3_EXT_MAGIC, 0, 4, 0, 0};
  static_assert(sizeof header + 4 * sizeof(ext3_extent) == sizeof(ext2_inode::i_block));
  std::memset(base()->i_block, 0, sizeof base()->i_block);
  std::memcpy(base()->i_block, &header, sizeof header);
}

void Inode::set_size(const Volume& volume, std::uint64_t size) {
  check_ext2(ext2fs_inode_size_set(volume.fs(), base(), static_cast<ext2_off64_t>(size)),
             "set the size");
}

std::uint8_t directory_type(std::uint16_t mode) {
  switch (mode & LINUX_S_IFMT) {
    case LINUX_S_IFREG:
      return EXT2_FT_REG_FILE;
    case LINUX_S_IFDIR:
      return EXT2_FT_DIR;
    case LINUX_S_IFLNK:
      return EXT2_FT_SYMLINK;
    case LINUX_S_IFCHR:
      return EXT2_FT_CHRDEV;
    case LINUX_S_IFBLK:
      return EXT2_FT_BLKDEV;
    case LINUX_S_IFIFO:
      return EXT2_FT_FIFO;
    case LINUX_S_IFSOCK:
      return EXT2_FT_SOCK;
    default:
      return EXT2_FT_UNKNOWN;
  }
}

ext2_ino_t take_inode(const Volume& volume, ext2_ino_t directory, std::uint16_t mode) {
  ext2_ino_t number = 0;
  check_ext2(ext2fs_new_inode(volume.fs(), directory, mode, nullptr, &number),
             "allocate an inode");
  ext2fs_inode_alloc_stats2(volume.fs(), number, +1, LINUX_S_ISDIR(mode) ? 1 : 0);
  return number;
}

void delete_inode(const Volume& volume, ext2_ino_t number) {
  const ext2_filsys fs = volume.fs();
  Inode inode = Inode::read(volume, number);
  if (ext2fs_inode_has_valid_blocks2(fs, inode.base()) != 0) {
    check_ext2(ext2fs_punch(fs, number, inode.base(), nullptr, 0, ~blk64_t{0}),
               "free the blocks of what is replaced or deleted");
  }
  if (ext2fs_file_acl_block(fs, inode.base()) != 0) {
    auto* large = reinterpret_cast<ext2_inode_large*>(inode.base());
    check_ext2(ext2fs_free_ext_attr(fs, number, large),
               "free the extended attributes of what is replaced or deleted");
  }
  const bool is_directory = inode.is_directory();
  // All zeros, as if it had never been: the time of its end would be the clock's.
  std::vector<std::byte> zeros(EXT2_INODE_SIZE(fs->super));
  check_ext2(ext2fs_write_inode_full(fs, number, reinterpret_cast<ext2_inode*>(zeros.data()),
                                     static_cast<int>(zeros.size())),
             "write a deleted inode");
  ext2fs_inode_alloc_stats2(fs, number, -1, is_directory ? 1 : 0);
}

void check_inode_number(const Volume& volume, ext2_ino_t number) {
  const ext2_super_block& super = *volume.fs()->super;
  if (number >= EXT2_FIRST_INODE(&super) && number <= super.s_inodes_count) return;
  throw ApplyError(EUCLEAN, "a directory of the file system names inode " +
                                std::to_string(number) + ", which cannot be: run e2fsck on it");
}

std::string read_symlink(const Volume& volume, ext2_ino_t number) {
  const ext2_filsys fs = volume.fs();
  Inode inode = Inode::read(volume, number);
  const std::uint64_t size = inode.size();
  if (ext2fs_is_fast_symlink(inode.base()) != 0) {
    const auto* text = reinterpret_cast<const char*>(inode.base()->i_block);
    return {text, std::min<std::size_t>(size, sizeof inode.base()->i_block)};
  }
  if (size == 0 || size > fs->blocksize) {
    throw ApplyError(EUCLEAN, "a symlink of the file system has a size that cannot be: run e2fsck");
  }
  blk64_t block = 0;
  check_ext2(ext2fs_bmap2(fs, number, inode.base(), nullptr, 0, 0, nullptr, &block),
             "find the block of a symlink");
  std::string text(size, '\0');
  const int error = volume.cache().read(std::as_writable_bytes(std::span(text)),
                                        block * fs->blocksize);
  check_ext2(-error, "read a symlink");
  return text;
}

}  // namespace varve::apply
