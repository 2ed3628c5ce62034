#include "apply/layer_applier.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include "apply/apply_error.h"
#include "apply/file_writer.h"
#include "apply/xattrs.h"

namespace varve::apply {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMark = ".wh..wh.";  // of aufs: not files, not whiteouts
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::uint64_t kBlocksMax = 0xffff'ffff;  // of a file
constexpr std::uint32_t kMajorMax = 0xfff;
constexpr std::uint32_t kMinorMax = 0xfffff;

std::uint16_t kind_of(EntryType type) {
  switch (type) {
    case EntryType::kSymlink:
      return LINUX_S_IFLNK;
    case EntryType::kCharacterDevice:
      return LINUX_S_IFCHR;
    case EntryType::kBlockDevice:
      return LINUX_S_IFBLK;
    case EntryType::kFifo:
      return LINUX_S_IFIFO;
    default:
      return LINUX_S_IFREG;
  }
}

// Small numbers have a place of their own, as since ever.
void set_device(ext2_inode& inode, const ArchiveEntry& entry) {
  const std::uint32_t major = entry.device_major;
  const std::uint32_t minor = entry.device_minor;
  if (major > kMajorMax || minor > kMinorMax) {
    throw ApplyError(EINVAL, "a device cannot have the number " + std::to_string(major) + ":" +
                                 std::to_string(minor));
  }
  if (major < 256 && minor < 256) {
    inode.i_block[0] = major << 8 | minor;
  } else {
    inode.i_block[1] = (minor & 0xff) | major << 8 | (minor & ~std::uint32_t{0xff}) << 12;
  }
}

}  // namespace

bool LayerApplier::apply_whiteout(const Path& path) {
  for (const std::string& part : path) {
    if (part.starts_with(kWhiteoutMark) && !(part == kOpaque && &part == &path.back())) return true;
  }
  const std::string& name = path.back();
  if (!name.starts_with(kWhiteout)) return false;
  const std::string hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    throw ApplyError(EINVAL, "it is a whiteout of no name");
  }
  // Where there is no such directory nothing is to be hidden in it.
  const std::optional<ext2_ino_t> directory = tree_.find_parents(path);
  if (!directory) return true;
  if (name == kOpaque) {
    tree_.empty_below(*directory);
  } else {
    tree_.remove_below(*directory, hidden);
  }
  return true;
}

std::vector<std::string> LayerApplier::apply_directory(const ArchiveEntry& entry,
                                                       const Path& path) {
  ext2_ino_t number = EXT2_ROOT_INO;
  if (!path.empty()) {
    const ext2_ino_t parent = tree_.make_parents(path).inode;
    const DirectoryEntry* present = tree_.find(parent, path.back());
    if (present != nullptr && present->is_directory()) {
      number = present->inode;
      tree_.claim(parent, path.back());
    } else {
      number = tree_.new_directory(parent, entry.attributes);
      tree_.put(parent, path.back(), number, EXT2_FT_DIR);
      return entry.xattrs.empty() ? std::vector<std::string>()
                                  : set_xattrs(volume_, number, entry.xattrs);
    }
  }
  Inode inode = Inode::read(volume_, number);
  inode.set_attributes(entry.attributes);
  inode.write(volume_, number);
  return set_xattrs(volume_, number, entry.xattrs);
}

void LayerApplier::apply_hard_link(const ArchiveEntry& entry, const Path& path) {
  const Path target = clean_path(entry.link_target);
  const std::string shown = quoted(entry.link_target);
  const std::optional<ext2_ino_t> directory = tree_.find_parents(target);
  const DirectoryEntry* linked =
      directory && !target.empty() ? tree_.find(*directory, target.back()) : nullptr;
  if (linked == nullptr && !target.empty()) {
    throw ApplyError(ENOENT, "it is a hard link to " + shown + ", which is not there");
  }
  if (linked == nullptr || linked->is_directory()) {
    throw ApplyError(EPERM, "it is a hard link to " + shown + ", which is a directory");
  }
  const ext2_ino_t number = linked->inode;
  const ext2_ino_t parent = tree_.make_parents(path).inode;
  const DirectoryEntry* present = tree_.find(parent, path.back());
  if (present != nullptr && present->inode == number) return tree_.claim(parent, path.back());
  // Before what has the name goes: the target may lie in it.
  const std::uint8_t type = tree_.add_link(number);
  tree_.put(parent, path.back(), number, type);
}

void LayerApplier::make_file(const ArchiveEntry& entry, ext2_ino_t number, Inode& inode) {
  if (entry.size > kBlocksMax * volume_.block_size()) {
    throw ApplyError(EFBIG, "it is " + std::to_string(entry.size) +
                                " bytes long, which no file can have on this file system");
  }
  inode.set_empty_extents();
  inode.set_size(volume_, entry.size);
  FileWriter writer(volume_, allocate_blocks(volume_, number, inode, entry.parts, goal_));
  auto part = entry.parts.begin();
  std::uint64_t done = 0;  // of the part
  for (std::span bytes = archive_.content(); !bytes.empty(); bytes = archive_.content()) {
    content_taken_();
    while (!bytes.empty()) {
      while (done == part->length) {
        ++part;
        done = 0;
      }
      const std::size_t length =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), part->length - done));
      writer.write(bytes.first(length), part->offset + done);
      bytes = bytes.subspan(length);
      done += length;
    }
  }
  writer.finish();
}

void LayerApplier::make_symlink(const ArchiveEntry& entry, ext2_ino_t number, Inode& inode) {
  const std::string& target = entry.link_target;
  if (target.empty() || target.find('\0') != std::string::npos) {
    throw ApplyError(EINVAL, "it is a symlink to nothing, or to a name with a zero byte in it");
  }
  if (target.size() >= volume_.block_size() || target.size() >= 4096) {
    throw ApplyError(ENAMETOOLONG, "it is a symlink to a name that is longer than 4095 bytes");
  }
  inode.set_size(volume_, target.size());
  if (target.size() < sizeof inode.base()->i_block) {
    std::memcpy(inode.base()->i_block, target.data(), target.size());
    return inode.write(volume_, number);
  }
  inode.set_empty_extents();
  FileWriter writer(volume_,
                    allocate_blocks(volume_, number, inode, {{0, target.size()}}, goal_));
  writer.write(std::as_bytes(std::span(target)), 0);
  writer.finish();
}

std::vector<std::string> LayerApplier::apply_other(const ArchiveEntry& entry, const Path& path) {
  const ext2_ino_t parent = tree_.make_parents(path).inode;
  const std::uint16_t kind = kind_of(entry.type);
  const ext2_ino_t number = take_inode(volume_, parent, kind);
  Inode inode(volume_);
  inode.base()->i_mode = kind;
  inode.base()->i_links_count = 1;
  Attributes attributes = entry.attributes;
  // The kernel knows no others, whatever a tar says.
  if (entry.type == EntryType::kSymlink) attributes.permissions = 0777;
  inode.set_attributes(attributes);
  switch (entry.type) {
    case EntryType::kFile:
      make_file(entry, number, inode);
      break;
    case EntryType::kSymlink:
      make_symlink(entry, number, inode);
      break;
    case EntryType::kCharacterDevice:
    case EntryType::kBlockDevice:
      set_device(*inode.base(), entry);
      [[fallthrough]];
    default:
      inode.write(volume_, number);
  }
  tree_.put(parent, path.back(), number, directory_type(kind));
  return entry.xattrs.empty() ? std::vector<std::string>()
                              : set_xattrs(volume_, number, entry.xattrs);
}

std::vector<std::string> LayerApplier::apply(const ArchiveEntry& entry) {
  const Path path = clean_path(entry.path);
  if (path.empty()) {
    if (entry.type == EntryType::kDirectory) return apply_directory(entry, path);
    throw ApplyError(EINVAL, "its name means the root, and it is no directory");
  }
  if (apply_whiteout(path)) return {};
  switch (entry.type) {
    case EntryType::kDirectory:
      return apply_directory(entry, path);
    case EntryType::kHardLink:
      apply_hard_link(entry, path);
      return {};
    default:
      return apply_other(entry, path);
  }
}

}  // namespace varve::apply
