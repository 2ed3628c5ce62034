// Extended attributes of an inode.
#pragma once

#include <string>
#include <vector>

#include "apply/inode.h"

namespace varve::apply {

struct Xattr {
  std::string name;
  std::string value;
};

// Makes them those of the inode and removes others. Names that ext4 has no place for are left out,
// as are `user.` ones of what is neither a file nor a directory, which the kernel would refuse;
// returns what was left out.
std::vector<std::string> set_xattrs(const Volume& volume, ext2_ino_t number,
                                    const std::vector<Xattr>& xattrs);

}  // namespace varve::apply
