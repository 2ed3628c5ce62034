#include "test/apply/tree_model.h"

#include <cstdio>
#include <span>

#include "sha256/sha256.h"

namespace varve::test {

namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string last_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Member made_directory() {
  Member member;
  member.type = '5';
  member.mode = 0755;
  member.seconds = 1;
  return member;
}

std::string short_sum(const std::string& bytes) {
  return sha256(std::as_bytes(std::span(bytes))).substr(0, 16);
}

unsigned kind_of(char type) {
  switch (type) {
    case '2':
      return 0120000;
    case '3':
      return 0020000;
    case '5':
      return 0040000;
    case '6':
      return 0010000;
    default:
      return 0100000;
  }
}

std::string describe(const Member& file) {
  const unsigned mode = kind_of(file.type) | file.mode;
  char text[256];
  std::snprintf(text, sizeof text, "%06o %u:%u %lld.%09u", mode, file.uid, file.gid,
                static_cast<long long>(file.seconds), file.nanoseconds);
  std::string line = text;
  if (file.type == '0') {
    line += " size " + std::to_string(file.content.size()) + " " + short_sum(file.content);
  }
  if (file.type == '2') line += " -> " + file.link;
  if (file.type == '3') {
    line += " " + std::to_string(file.major) + ":" + std::to_string(file.minor);
  }
  for (const auto& [name, value] : file.xattrs) line += " " + name + "=" + short_sum(value);
  return line;
}

}  // namespace

TreeModel::TreeModel() {
  names_[""] = {std::make_shared<Member>(made_directory()), true};
}

void TreeModel::begin_layer() {
  for (auto& [path, name] : names_) name.is_of_this_layer = false;
}

bool TreeModel::is_directory(const std::string& path) const {
  const auto found = names_.find(path);
  return found != names_.end() && found->second.file->type == '5';
}

bool TreeModel::takes(const Member& member) const {
  const std::string path = "/" + member.path;
  for (std::string above = parent_of(path); !above.empty(); above = parent_of(above)) {
    if (names_.contains(above) && !is_directory(above)) return false;
  }
  return member.type != '1' ||
         (names_.contains("/" + member.link) && !is_directory("/" + member.link));
}

void TreeModel::make_parents(const std::string& path) {
  for (std::string above = parent_of(path); !above.empty(); above = parent_of(above)) {
    if (names_.contains(above)) return;
    names_[above] = {std::make_shared<Member>(made_directory()), true};
  }
}

void TreeModel::remove(const std::string& path) {
  std::erase_if(names_, [&path](const auto& name) {
    return name.first == path || name.first.starts_with(path + "/");
  });
}

// Longest paths first, so that a directory is looked at when its content is done.
void TreeModel::remove_below(const std::string& path, bool is_itself) {
  std::vector<std::string> paths;
  for (const auto& [name, value] : names_) {
    if ((name == path && is_itself) || name.starts_with(path + "/")) paths.push_back(name);
  }
  for (auto at = paths.rbegin(); at != paths.rend(); ++at) {
    const auto next = names_.upper_bound(*at + "/");
    const bool has_children = next != names_.end() && next->first.starts_with(*at + "/");
    if (!names_[*at].is_of_this_layer && !has_children) names_.erase(*at);
  }
}

void TreeModel::apply(const Member& member) {
  const std::string path = "/" + member.path;
  const std::string name = last_of(path);
  if (name == ".wh..wh..opq") return remove_below(parent_of(path), false);
  if (name.starts_with(".wh.")) return remove_below(parent_of(path) + "/" + name.substr(4), true);
  std::shared_ptr<Member> file;
  if (member.type == '1') {
    file = names_["/" + member.link].file;
    const auto present = names_.find(path);
    if (present != names_.end() && present->second.file == file) {
      present->second.is_of_this_layer = true;
      return;
    }
  } else {
    file = std::make_shared<Member>(member);
  }
  make_parents(path);
  if (!(is_directory(path) && member.type == '5')) remove(path);
  names_[path] = {file, true};
}

Listing TreeModel::listing() const {
  std::map<const Member*, std::pair<unsigned, std::string>> links;
  for (const auto& [path, name] : names_) {
    auto& [count, first] = links[name.file.get()];
    if (count++ == 0) first = path;
  }
  Listing listing;
  for (const auto& [path, name] : names_) {
    std::string line = describe(*name.file);
    if (name.file->type != '5') {
      const auto& [count, first] = links[name.file.get()];
      line += " links " + std::to_string(count);
      if (first != path) line += " same as " + first;
    }
    listing[path.empty() ? "/" : path] = line;
  }
  return listing;
}

std::vector<std::string> TreeModel::linkable() const {
  std::vector<std::string> paths;
  for (const auto& [path, name] : names_) {
    if (name.file->type != '5') paths.push_back(path.substr(1));
  }
  return paths;
}

}  // namespace varve::test
