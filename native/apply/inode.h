// Inodes of a volume: read, written, made and deleted whole.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "apply/volume.h"

namespace varve::apply {

// Seconds since 1970, also negative, and the nanoseconds that follow.
struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

struct Attributes {
  std::uint16_t permissions = 0;  // the lower twelve bits of a mode
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Timestamp time{};
};

// The bytes of one inode, as long as the file system's inodes are, seen as a structure.
class Inode {
 public:
  // Empty.
  explicit Inode(const Volume& volume);
  static Inode read(const Volume& volume, ext2_ino_t number);

  void write(const Volume& volume, ext2_ino_t number);

  [[nodiscard]] ext2_inode* base() noexcept {
    return reinterpret_cast<ext2_inode*>(bytes_.data());
  }
  [[nodiscard]] std::uint16_t mode() noexcept { return base()->i_mode; }
  [[nodiscard]] bool is_directory() noexcept { return LINUX_S_ISDIR(mode()); }
  [[nodiscard]] std::uint64_t size() noexcept { return EXT2_I_SIZE(base()); }

  // Permissions, owner, and all four times; what no tar says (when the inode was made or changed)
  // is when its content was.
  void set_attributes(const Attributes& attributes);
  void set_empty_extents();
  void set_size(const Volume& volume, std::uint64_t size);

 private:
  [[nodiscard]] ext2_inode_large* large() noexcept {
    return reinterpret_cast<ext2_inode_large*>(bytes_.data());
  }

  std::vector<std::byte> bytes_;
};

// How a directory says what kind of file a mode is.
std::uint8_t directory_type(std::uint16_t mode);

// Takes a free inode near the directory and counts it as used; nothing is written yet.
ext2_ino_t take_inode(const Volume& volume, ext2_ino_t directory, std::uint16_t mode);

// Gives back an inode that has no names any more, with its blocks and xattrs.
void delete_inode(const Volume& volume, ext2_ino_t number);

// Throws ApplyError unless the number can be that of a file: a name in a damaged directory could
// lead to an inode that the file system keeps for itself.
void check_inode_number(const Volume& volume, ext2_ino_t number);

// What a symlink points at.
std::string read_symlink(const Volume& volume, ext2_ino_t number);

}  // namespace varve::apply
