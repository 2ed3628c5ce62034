// Beside overlaybd's own: a further layer upon its golden ones, and the file system that both make.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "image/layer_file.h"
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_stack.h"
#include "test/apply/apply_test_case.h"
#include "test/memory_file.h"

namespace varve::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGoldenSize = std::uint64_t{1} << 30;

std::shared_ptr<lsmt::ReadOnlyStack> golden_stack(const std::vector<std::string>& layers) {
  std::vector<lsmt::ReadOnlyLayer> opened;
  for (const std::string& layer : layers) {
    opened.push_back(
        lsmt::open_read_only_layer(image::open_layer_file(fixture_path(layer)).content));
  }
  return std::make_shared<lsmt::ReadOnlyStack>(std::move(opened), "golden");
}

using GoldenTest = ApplyTestCase;

// Marks, everything upon something else, links into the layers below, a hash tree.
std::vector<Member> further_layer() {
  Member bin = entry("bin", '5');
  bin.mode = 0701;
  bin.uid = 70'000;
  bin.xattrs = {{"user.name", "value"}};
  Member large = entry("usr/share/large");
  large.content = std::string(3'000'000, 'l');
  std::vector<Member> members = {entry("./", '5'),
                                 bin,
                                 entry("bin/.wh.tool"),
                                 entry("bin/sh", '2', "tool2"),
                                 entry("bin/again", '1', "bin/tool2"),
                                 entry("etc", '5'),
                                 entry("etc/passwd"),
                                 entry("etc/.wh..wh..opq"),
                                 entry("dev", '5'),
                                 entry("dev/.wh.pipe"),
                                 entry("dev/null"),
                                 entry("opt"),
                                 entry("usr", '5'),
                                 entry("usr/share", '5'),
                                 entry("usr/share/.wh.long-link"),
                                 large,
                                 entry("new", '5'),
                                 entry("new/directory", '5'),
                                 entry("new/directory/file")};
  for (unsigned at = 0; at < 300; ++at) {
    members.push_back(entry("usr/share/" + std::to_string(at) + std::string(60, 'n')));
  }
  return members;
}

// The same with the kernel's help: what goes is deleted, the rest is tar's.
void extract_upon(const std::vector<Member>& members, const std::string& directory,
                  const std::string& tar) {
  TarBuilder rest;
  for (const Member& member : members) {
    const fs::path path = fs::path(directory) / member.path;
    const std::string name = path.filename().string();
    if (name == ".wh..wh..opq") {
      for (const auto& below : fs::directory_iterator(path.parent_path())) fs::remove_all(below);
    } else if (name.starts_with(".wh.")) {
      fs::remove_all(path.parent_path() / name.substr(4));
    } else if (member.type != '5' && fs::is_directory(fs::symlink_status(path))) {
      fs::remove_all(path);
    }
    if (!name.starts_with(".wh.")) rest.add(member);
  }
  std::ofstream(tar, std::ios::binary) << rest.finish();
  ASSERT_EQ(extract_with_tar(tar, directory), "");
}

// What e2fsck would mend.
std::vector<std::string> findings(const std::string& image) {
  constexpr std::string_view kAnswer = "? no";
  std::vector<std::string> found;
  for (std::string line : lines_of(run_program({"e2fsck", "-fn", image}).output)) {
    if (!line.ends_with(kAnswer)) continue;
    line.resize(line.size() - kAnswer.size());
    found.push_back(line);
  }
  return found;
}

TEST_F(GoldenTest, AFurtherLayerIsWhatTarMakesOfItThroughTheKernel) {
  VARVE_NEEDS_ROOT();
  const auto below = golden_stack({"ext4-apply/layer0.lz4", "ext4-apply/layer1.tar"});
  lsmt::NewLayer layer_of_ours;
  layer_of_ours.virtual_size = kGoldenSize;
  lsmt::WritableStack stack(
      lsmt::WritableLayer::create(std::make_unique<MemoryFile>(), std::make_unique<MemoryFile>(),
                                  layer_of_ours),
      below, "stack");
  apply::StackStore store(stack);
  apply::apply_tar(stream_of(layer(further_layer())), "layer.tar", store, {});
  write_image(stack, image());
  // Overlaybd's lost+found says that it has a hash tree; its counts of what is free are wrong, too.
  EXPECT_EQ(findings(image()), std::vector<std::string>{
                                   "Invalid HTREE directory inode 11 (/lost+found).  Clear HTree "
                                   "index"});
  Listing ours;
  {
    const Mounted mounted(image(), at("mnt"));
    ASSERT_TRUE(mounted.is_mounted());
    ours = list_files(at("mnt"));
  }
  EXPECT_GT(ours.size(), 300U + 60);

  write_image(*below, at("reference.img"));
  const Mounted reference(at("reference.img"), at("reference"), Mounted::Access::kWrite);
  ASSERT_TRUE(reference.is_mounted());
  extract_upon(further_layer(), at("reference"), at("reference.tar"));
  EXPECT_EQ(differences(ours, list_files(at("reference"))), "");
}

// What dumpe2fs says about a file system, by the name of the value.
std::map<std::string, std::string> parameters(const std::string& image) {
  std::map<std::string, std::string> found;
  for (const std::string& line : lines_of(run_program({"dumpe2fs", "-h", image}).output)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    found[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
  return found;
}

TEST_F(GoldenTest, AnEmptyFileSystemIsOverlaybdsButForWhatIsDeliberate) {
  write_image(*golden_stack({"mkfs-ext4/layer.lz4"}), at("golden"));
  make_disk(kGoldenSize);
  apply(TarBuilder().finish(), true);
  std::map<std::string, std::string> theirs = parameters(at("golden"));
  ASSERT_EQ(theirs.at("Block count"), "262144");
  ASSERT_EQ(theirs.at("Last write time"), "Thu Jan  1 00:00:00 1970");
  // docs/apply.md has the reasons.
  theirs["Filesystem created"] = "Thu Jan  1 00:00:01 1970";
  theirs["Last write time"] = "Thu Jan  1 00:00:01 1970";
  theirs["Last checked"] = "Thu Jan  1 00:00:01 1970";
  theirs["Flex block group size"] = "16";
  theirs.erase("Lifetime writes");
  EXPECT_EQ(differences(parameters(image()), theirs), "");
  EXPECT_EQ(check_file_system(image()), "");
}

}  // namespace
}  // namespace varve::test
