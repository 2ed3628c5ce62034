// Layers upon one another are what the kernel's overlay makes of them.
//
// tar puts each layer into a directory of its own, its marks become what overlay has instead of
// them, and overlay shows the directories as one. The order in which a tar says things does not
// count there at all, as it must not for marks here.
//
// Overlay keeps layers apart, so a layer here names the parents of what is in it, links to its own
// files alone and goes through no symlink: layers_test.cpp has these.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "test/apply/apply_test_case.h"
#include "test/lsmt/random.h"

namespace varve::test {
namespace {

namespace fs = std::filesystem;

using Layer = std::vector<Member>;

constexpr const char* kOpaque = "trusted.overlay.opaque";

// A mark as overlay has it: a device, or an xattr of a directory.
void convert_mark(const fs::path& mark) {
  const fs::path parent = mark.parent_path();
  struct stat before = {};
  ASSERT_EQ(::lstat(parent.c_str(), &before), 0);
  ASSERT_TRUE(fs::remove(mark));
  const std::string name = mark.filename().string();
  // Beside something of the layer's own a mark means that nothing from below is in that.
  const fs::path hidden = name == ".wh..wh..opq" ? parent : parent / name.substr(4);
  const fs::file_type type = fs::symlink_status(hidden).type();
  if (type == fs::file_type::directory) {
    ASSERT_EQ(::setxattr(hidden.c_str(), kOpaque, "y", 1, 0), 0);
  } else if (type == fs::file_type::not_found) {
    ASSERT_EQ(::mknod(hidden.c_str(), S_IFCHR, 0), 0);
  }
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, parent.c_str(), times, 0), 0);
}

void convert_marks(const std::string& directory) {
  std::vector<fs::path> marks;
  for (const auto& found : fs::recursive_directory_iterator(directory)) {
    if (found.path().filename().string().starts_with(".wh.")) marks.push_back(found.path());
  }
  for (const fs::path& mark : marks) convert_mark(mark);
}

// How many names a file has is not overlay's to say: hidden ones count there.
Listing without_link_counts(Listing listing) {
  for (auto& [path, line] : listing) {
    const std::size_t begin = line.find(" links ");
    if (begin == std::string::npos) continue;
    line.erase(begin, line.find_first_not_of("0123456789", begin + 7) - begin);
  }
  return listing;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// The root and the parents of everything come first, where the layer does not name them.
Layer with_parents(const Layer& members) {
  std::set<std::string> named;
  for (const Member& member : members) named.insert(member.path);
  Layer whole = {entry("./", '5')};
  for (const Member& member : members) {
    std::vector<std::string> parents;
    for (std::string above = parent_of(member.path); !above.empty(); above = parent_of(above)) {
      if (named.insert(above).second) parents.push_back(above);
    }
    for (auto above = parents.rbegin(); above != parents.rend(); ++above) {
      whole.push_back(entry(*above, '5'));
    }
    whole.push_back(member);
  }
  return whole;
}

class OverlayTest : public ApplyTestCase {
 protected:
  void SetUp() override {
    VARVE_NEEDS_ROOT();
    // Not every file system takes devices and xattrs, least of all overlay itself.
    const auto file = io::open_writable_file(at("scratch"), true);
    ASSERT_EQ(file->resize(std::uint64_t{64} << 20), 0);
    ASSERT_EQ(run_program({"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", at("scratch")})
                  .status,
              0);
    scratch_.emplace(at("scratch"), at("layers"), Mounted::Access::kWrite);
    ASSERT_TRUE(scratch_->is_mounted());
  }

  // The directories of the layers that show, the uppermost first.
  std::vector<std::string> extract(const std::vector<std::string>& layers) {
    std::vector<std::string> directories;
    const std::string base = "layers/stack/";
    fs::remove_all(at(base));
    make_directory(base + "none");
    for (std::size_t at_layer = 0; at_layer < layers.size(); ++at_layer) {
      const std::string name = base + std::to_string(at_layer);
      make_directory(name);
      write_file("layer.tar", layers[at_layer]);
      EXPECT_EQ(extract_with_tar(at("layer.tar"), at(name)), "");
      convert_marks(at(name));
      // The mark of a root is not looked at by overlay.
      char value = 0;
      if (::getxattr(at(name).c_str(), kOpaque, &value, 1) == 1) directories.clear();
      directories.insert(directories.begin(), at(name));
    }
    // Overlay wants two at least.
    directories.push_back(at(base + "none"));
    return directories;
  }

  void expect_as_overlay(const std::vector<std::string>& layers) {
    make_empty();
    for (const std::string& tar : layers) apply(tar);
    const Listing ours = without_link_counts(files());
    const MountedOverlay overlay(extract(layers), at("overlay"));
    ASSERT_TRUE(overlay.is_mounted());
    EXPECT_EQ(differences(ours, without_link_counts(list_files(at("overlay")))), "");
  }

 private:
  std::optional<Mounted> scratch_;
};

TEST_F(OverlayTest, NastyLayers) {
  const Member opaque = entry("d/.wh..wh..opq");
  Member other = entry("d", '5');
  other.mode = 01711;
  other.uid = 12;
  other.xattrs = {{"user.other", "x"}};
  const Layer below = {entry("d/file"), entry("d/e/f/deep"), entry("d/link", '1', "d/file"),
                       entry("d/empty", '5'), entry("symlink", '2', "d"), entry("pipe", '6')};
  struct Case {
    std::string what;
    std::vector<Layer> layers;
  };
  const std::vector<Case> cases = {
      {"deleted: a file, one of its names, a directory, a symlink, a pipe, nothing",
       {below,
        {entry("d/.wh.file"), entry("d/.wh.e"), entry(".wh.symlink"), entry(".wh.pipe"),
         entry(".wh.never")}}},
      {"deleted with all that is in it", {below, {entry(".wh.d")}}},
      {"deleted, and there again in the layer after", {below, {entry(".wh.d")}, {other}}},
      {"deleted and made anew in one layer", {below, {entry(".wh.d"), entry("d/new")}}},
      {"made anew and deleted in one layer", {below, {entry("d/new"), entry(".wh.d")}}},
      {"deleted and a file in its place", {below, {entry(".wh.d"), entry("d")}}},
      {"a file in its place and deleted", {below, {entry("d"), entry(".wh.d")}}},
      {"a file deleted and a directory in its place",
       {below, {entry("d/file/new"), entry("d/.wh.file")}}},
      {"opaque first", {below, {opaque, entry("d/new")}}},
      {"opaque last", {below, {entry("d/new"), opaque}}},
      {"opaque in the middle", {below, {entry("d/e/new"), opaque, entry("d/empty/new")}}},
      {"opaque above a directory that stays", {below, {entry("d/e", '5'), opaque}}},
      {"opaque below a directory that does not", {below, {entry("d/e/.wh..wh..opq")}}},
      {"opaque, and a mark of a name in it", {below, {opaque, entry("d/.wh.file"), other}}},
      {"opaque and nothing in it, filled again", {below, {opaque}, {entry("d/e/f/again")}}},
      {"opaque in two layers", {below, {opaque, entry("d/second")}, {opaque, entry("d/third")}}},
      {"opaque where nothing is", {below, {entry("new/.wh..wh..opq"), entry("new/file")}}},
      {"an opaque root", {below, {entry("d/new"), entry(".wh..wh..opq")}, {entry("last")}}},
      {"a directory, a file, a directory: nothing shines through", {below, {entry("d")}, {other}}},
      {"a directory, a symlink, a directory", {below, {entry("d", '2', "symlink")}, {other}}},
      {"a directory of other attributes", {below, {other}}},
      {"a directory whose xattrs go", {{other, entry("d/file")}, {entry("d", '5')}}},
      {"one of two names replaced", {below, {entry("d/file")}}},
      {"a mark below a directory that is new itself", {below, {entry("d/empty/x/y/.wh.z")}}},
      {"the same layer twice", {below, below}}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    std::vector<std::string> tars;
    for (const Layer& members : one.layers) tars.push_back(layer(with_parents(members)));
    expect_as_overlay(tars);
  }
}

class RandomLayer {
 public:
  explicit RandomLayer(Random& random) : random_(random) {}

  std::string make() {
    put(attributed({"./"}, '5'));
    for (std::uint64_t count = random_.between(5, 40); count > 0; --count) add();
    return layer(members_);
  }

 private:
  std::string random_path() {
    std::string path;
    for (std::uint64_t depth = random_.between(1, 4); depth > 0; --depth) {
      path += (path.empty() ? "" : "/") + std::string(1, static_cast<char>('a' + random_.below(4)));
    }
    return path;
  }

  Member attributed(Member member, char type) {
    member.type = type;
    member.mode = static_cast<unsigned>(random_.below(010000));
    member.uid = static_cast<std::uint32_t>(random_.below(std::uint64_t{1} << 31));
    member.gid = static_cast<std::uint32_t>(random_.below(1000));
    member.seconds = static_cast<std::int64_t>(random_.below(4'000'000'000));
    member.nanoseconds = static_cast<std::uint32_t>(random_.below(1'000'000'000));
    if (random_.one_in(3)) member.xattrs["trusted.x"] = std::string(random_.below(300), 'v');
    if (random_.one_in(4) && (type == '0' || type == '5')) member.xattrs["user.y"] = "w";
    return member;
  }

  void put(const Member& member) {
    types_[member.path] = member.type;
    members_.push_back(member);
  }

  // Whether everything above the path is a directory of the layer afterwards.
  bool make_parents(const std::string& path) {
    const std::string above = parent_of(path);
    if (above.empty()) return true;
    if (const auto found = types_.find(above); found != types_.end()) return found->second == '5';
    if (!make_parents(above)) return false;
    put(attributed({above}, '5'));
    return true;
  }

  void add() {
    const std::string path = random_path();
    if (!make_parents(path)) return;
    const char type = "00002355561www"[random_.below(14)];
    if (type == 'w') return add_mark(path);
    if (types_.contains(path)) return;
    if (type == '1') return add_link(path);
    Member member = attributed({path}, type);
    if (type == '0') {
      member.content.assign(random_.below(random_.one_in(10) ? 300'000 : 6'000), '\0');
      for (char& byte : member.content) byte = static_cast<char>(random_.below(256));
    }
    if (type == '2') {
      member.link = std::string(random_.between(1, 100), 't');
      member.mode = 0777;
    }
    if (type == '3') {
      member.major = static_cast<unsigned>(random_.between(1, 4095));
      member.minor = static_cast<unsigned>(random_.below(1 << 20));
    }
    put(member);
  }

  // Anywhere behind the directory that it is in.
  void add_mark(const std::string& path) {
    const std::string above = parent_of(path);
    const std::string folder = above.empty() ? "" : above + "/";
    const bool is_opaque = random_.one_in(4);
    const std::string mark =
        folder + ".wh." + (is_opaque ? ".wh..opq" : path.substr(folder.size()));
    if (!types_.emplace(mark, 'w').second) return;
    const auto parent = std::find_if(members_.begin(), members_.end(), [&](const Member& member) {
      return member.path == (above.empty() ? "./" : above);
    });
    const auto first = static_cast<std::uint64_t>(parent - members_.begin()) + 1;
    const std::uint64_t place = random_.between(first, members_.size());
    members_.insert(members_.begin() + static_cast<std::ptrdiff_t>(place), Member{mark});
  }

  void add_link(const std::string& path) {
    std::vector<std::string> targets;
    for (const auto& [target, type] : types_) {
      if (type != '5' && type != 'w' && type != '1') targets.push_back(target);
    }
    if (targets.empty()) return;
    Member member{path};
    member.type = '1';
    member.link = targets[random_.below(targets.size())];
    put(member);
  }

  Random& random_;
  std::map<std::string, char> types_;
  Layer members_;
};

TEST_F(OverlayTest, RandomLayers) {
  const std::uint64_t rounds = is_long_form() ? 400 : 12;
  const std::uint64_t first = choose_seed();
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE("VARVE_SEED=" + std::to_string(first + round));
    Random random(first + round);
    std::vector<std::string> layers;
    for (std::uint64_t count = random.between(2, 5); count > 0; --count) {
      layers.push_back(RandomLayer(random).make());
    }
    expect_as_overlay(layers);
  }
}

}  // namespace
}  // namespace varve::test
