#include "apply/tree.h"

#include <cerrno>
#include <deque>
#include <unordered_set>
#include <utility>

#include "apply/apply_error.h"

namespace varve::apply {

namespace {

// What the kernel follows.
constexpr unsigned kSymlinksMax = 40;
constexpr std::uint16_t kLinksMax = 65000;
constexpr Attributes kMissingParent = {0755, 0, 0, {kFixedTime, 0}};
constexpr std::string_view kLostAndFound = "lost+found";

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

void check_name(const std::string& name) {
  if (name.size() > EXT2_NAME_LEN) {
    throw ApplyError(ENAMETOOLONG, "the name " + quoted(name) + " is longer than 255 bytes");
  }
  if (name.find('\0') != std::string::npos) {
    throw ApplyError(EINVAL, "the name " + quoted(name) + " has a zero byte in it");
  }
}

}  // namespace

Path clean_path(std::string_view path) {
  Path cleaned;
  for (std::string& part : split(path)) {
    if (part == "..") {
      if (!cleaned.empty()) cleaned.pop_back();
      continue;
    }
    check_name(part);
    cleaned.push_back(std::move(part));
  }
  return cleaned;
}

std::optional<ext2_ino_t> Tree::walk(const Path& path, std::size_t count, Missing missing) {
  std::deque<std::string> rest(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(count));
  ext2_ino_t current = EXT2_ROOT_INO;
  unsigned symlinks = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name == "..") {
      current = directories_.get(current).parent;
      continue;
    }
    const DirectoryEntry* entry = find(current, name);
    if (entry == nullptr) {
      if (missing == Missing::kReport) return std::nullopt;
      check_name(name);
      const ext2_ino_t made = new_directory(current, kMissingParent);
      put(current, name, made, EXT2_FT_DIR);
      current = made;
    } else if (entry->is_directory()) {
      current = entry->inode;
    } else if (entry->is_symlink()) {
      if (++symlinks > kSymlinksMax) {
        throw ApplyError(ELOOP, "more than 40 symlinks are on the way to it");
      }
      const std::string text = read_symlink(volume_, entry->inode);
      if (text.starts_with('/')) current = EXT2_ROOT_INO;
      const std::vector<std::string> parts = split(text);
      rest.insert(rest.begin(), parts.begin(), parts.end());
    } else {
      throw ApplyError(ENOTDIR, quoted(name) + " on the way to it is not a directory");
    }
  }
  return current;
}

Directory& Tree::make_parents(const Path& path) {
  const std::size_t count = path.empty() ? 0 : path.size() - 1;
  return directories_.get(*walk(path, count, Missing::kMake));
}

std::optional<ext2_ino_t> Tree::find_parents(const Path& path) {
  return walk(path, path.empty() ? 0 : path.size() - 1, Missing::kReport);
}

const DirectoryEntry* Tree::find(ext2_ino_t directory, const std::string& name) {
  const auto& entries = directories_.get(directory).entries;
  const auto found = entries.find(name);
  return found == entries.end() ? nullptr : &found->second;
}

void Tree::put(ext2_ino_t directory, const std::string& name, ext2_ino_t inode,
               std::uint8_t type) {
  if (find(directory, name) != nullptr) remove_all(directory, name);
  Directory& changed = directories_.get(directory);
  changed.entries.insert_or_assign(name, DirectoryEntry{inode, type, true});
  changed.is_changed = true;
}

ext2_ino_t Tree::new_directory(ext2_ino_t parent, const Attributes& attributes) {
  const ext2_ino_t number = take_inode(volume_, parent, LINUX_S_IFDIR);
  Inode inode(volume_);
  inode.base()->i_mode = LINUX_S_IFDIR;
  inode.base()->i_links_count = 2;
  inode.set_empty_extents();
  inode.set_attributes(attributes);
  inode.write(volume_, number);
  directories_.add(number, parent);
  return number;
}

std::uint8_t Tree::add_link(ext2_ino_t number) {
  Inode inode = Inode::read(volume_, number);
  if (inode.base()->i_links_count >= kLinksMax) {
    throw ApplyError(EMLINK, "what it links to has 65000 names already, the most there can be");
  }
  ++inode.base()->i_links_count;
  inode.write(volume_, number);
  return directory_type(inode.mode());
}

void Tree::drop_link(ext2_ino_t number) {
  Inode inode = Inode::read(volume_, number);
  if (inode.is_directory() || inode.base()->i_links_count == 0) {
    throw ApplyError(EUCLEAN, "a name of the file system leads to an inode that cannot have it: "
                              "run e2fsck on it");
  }
  if (inode.base()->i_links_count == 1) return delete_inode(volume_, number);
  --inode.base()->i_links_count;
  inode.write(volume_, number);
}

void Tree::claim(ext2_ino_t directory, const std::string& name) {
  directories_.get(directory).entries.at(name).is_of_this_layer = true;
}

// Deep trees are no reason for a deep stack.
void Tree::remove_all(ext2_ino_t directory, const std::string& name) {
  Directory& parent = directories_.get(directory);
  const DirectoryEntry removed = parent.entries.at(name);
  parent.entries.erase(name);
  parent.is_changed = true;
  if (!removed.is_directory()) return drop_link(removed.inode);
  std::vector<ext2_ino_t> rest = {removed.inode};
  std::unordered_set<ext2_ino_t> seen(rest.begin(), rest.end());
  while (!rest.empty()) {
    const ext2_ino_t current = rest.back();
    rest.pop_back();
    for (const auto& [child, entry] : directories_.get(current).entries) {
      if (!entry.is_directory()) {
        drop_link(entry.inode);
      } else if (!seen.insert(entry.inode).second) {
        throw ApplyError(EUCLEAN, "the directory " + quoted(child) +
                                      " is in two places of the file system: run e2fsck on it");
      } else {
        rest.push_back(entry.inode);
      }
    }
    directories_.forget(current);
    delete_inode(volume_, current);
  }
}

void Tree::remove_below(ext2_ino_t directory, const std::string& name) {
  const DirectoryEntry* entry = find(directory, name);
  if (entry == nullptr) return;
  if (!entry->is_directory()) {
    if (!entry->is_of_this_layer) remove_all(directory, name);
    return;
  }
  const ext2_ino_t inode = entry->inode;
  const bool stays = entry->is_of_this_layer;
  empty_below(inode);
  if (!stays && directories_.get(inode).entries.empty()) remove_all(directory, name);
}

// From the leaves up, because a directory goes only if nothing of this layer is left in it.
void Tree::empty_below(ext2_ino_t top) {
  struct Visit {
    ext2_ino_t directory;
    ext2_ino_t parent;
    std::string name;
    bool is_of_this_layer;
    bool are_children_done;
  };
  std::vector<Visit> rest = {{top, 0, {}, true, false}};
  std::unordered_set<ext2_ino_t> seen = {top};
  while (!rest.empty()) {
    if (rest.back().are_children_done) {
      const Visit visit = std::move(rest.back());
      rest.pop_back();
      if (!visit.is_of_this_layer && directories_.get(visit.directory).entries.empty()) {
        remove_all(visit.parent, visit.name);
      }
      continue;
    }
    rest.back().are_children_done = true;
    const ext2_ino_t current = rest.back().directory;
    std::vector<std::string> removed;
    for (const auto& [name, entry] : directories_.get(current).entries) {
      if (entry.is_directory()) {
        if (!seen.insert(entry.inode).second) {
          throw ApplyError(EUCLEAN, "the directory " + quoted(name) +
                                        " is in two places of the file system: run e2fsck on it");
        }
        // The file system's own, which no layer has to bring.
        const bool stays = current == EXT2_ROOT_INO && name == kLostAndFound;
        rest.push_back({entry.inode, current, name, entry.is_of_this_layer || stays, false});
      } else if (!entry.is_of_this_layer) {
        removed.push_back(name);
      }
    }
    for (const std::string& name : removed) remove_all(current, name);
  }
}

}  // namespace varve::apply
