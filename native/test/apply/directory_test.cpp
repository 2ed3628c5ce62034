// Directories of many names: hash trees of one level and of two, of names with the same hash, and
// in a row. e2fsck finds nothing, and the kernel finds every name and goes on with the tree.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include <ext2fs/ext2fs.h>

#include "test/apply/apply_test_case.h"

namespace varve::test {
namespace {

// So long that three fit into a block of 1024 bytes, seven into one of 2048, 15 into one of 4096.
std::string long_name(unsigned number) {
  std::string name = std::to_string(number);
  name.resize(250, 'n');
  return name;
}

class DirectoryTest : public ApplyTestCase {
 protected:
  void SetUp() override { VARVE_NEEDS_ROOT(); }

  void format(const std::vector<std::string>& options) const {
    make_disk(std::uint64_t{32} << 20);
    std::vector<std::string> arguments = {"mke2fs", "-q", "-F", "-t", "ext4"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(image());
    ASSERT_EQ(run_program(arguments).status, 0);
  }

  void apply_names(const std::vector<std::string>& names) const {
    TarBuilder tar;
    for (const std::string& name : names) {
      Member member{"many/" + name};
      member.type = '6';
      tar.add(member);
    }
    apply(tar.finish());
  }

  // What debugfs shows of the tree.
  [[nodiscard]] std::string tree() const {
    return run_program({"debugfs", "-R", "htree_dump /many", image()}).output;
  }
  // How many levels it has below its root; "" if there is no tree.
  [[nodiscard]] std::string tree_levels() const {
    const std::string shown = tree();
    const std::size_t found = shown.find("Indirect levels: ");
    return found == std::string::npos ? "" : shown.substr(found + 17, 1);
  }

  // Whether a block of it begins with the hash that the one before ends with, which an odd one says.
  [[nodiscard]] bool tree_has_odd_hash() const {
    const std::vector<std::string> lines = lines_of(tree());
    return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
      const std::size_t comma = line.find(',');
      return line.starts_with("Entry #") && comma != std::string::npos &&
             std::string("13579bdf").find(line[comma - 1]) != std::string::npos;
    });
  }

  // The names that the kernel finds, each asked for by itself, and the number that it lists.
  void expect_names(const std::vector<std::string>& names) const {
    ASSERT_EQ(check_file_system(image()), "");
    const Mounted mounted(image(), at("mnt"));
    ASSERT_TRUE(mounted.is_mounted());
    for (const std::string& name : names) {
      EXPECT_TRUE(exists("mnt/many/" + name)) << name.substr(0, 8);
    }
    EXPECT_FALSE(exists("mnt/many/" + long_name(999'999)));
    EXPECT_EQ(list_files(at("mnt/many")).size(), names.size() + 1);
  }

  // The kernel adds to the tree and takes from it.
  void expect_kernel_goes_on(const std::vector<std::string>& names) const {
    {
      const Mounted mounted(image(), at("mnt"), Mounted::Access::kWrite);
      ASSERT_TRUE(mounted.is_mounted());
      for (unsigned number = 0; number < 200; ++number) {
        write_file("mnt/many/" + long_name(500'000 + number));
        ASSERT_EQ(::unlink(at("mnt/many/" + names[number]).c_str()), 0) << number;
      }
    }
    EXPECT_EQ(check_file_system(image()), "");
  }
};

std::vector<std::string> long_names(unsigned count) {
  std::vector<std::string> names;
  for (unsigned number = 0; number < count; ++number) names.push_back(long_name(number));
  return names;
}

TEST_F(DirectoryTest, ATreeHasAsManyLevelsAsItsNamesNeed) {
  struct Case {
    std::vector<std::string> options;
    unsigned names;
    std::string levels;  // "" without a tree
  };
  const std::vector<Case> cases = {
      {{"-b", "1024", "-O", "^metadata_csum"}, 3, ""},
      {{"-b", "1024", "-O", "^metadata_csum"}, 4, "0"},
      // The root names 124 blocks, or 123 and a checksum.
      {{"-b", "1024", "-O", "^metadata_csum"}, 3 * 124, "0"},
      {{"-b", "1024", "-O", "^metadata_csum"}, 3 * 124 + 1, "1"},
      {{"-b", "1024", "-O", "metadata_csum"}, 3 * 123, "0"},
      {{"-b", "1024", "-O", "metadata_csum"}, 3 * 123 + 1, "1"},
      // A node names 127 or 126: two and a bit of them, and one name more than they hold.
      {{"-b", "1024", "-O", "^metadata_csum"}, 3 * 127 * 2, "1"},
      {{"-b", "1024", "-O", "metadata_csum"}, 3 * 126 * 2 + 1, "1"},
      {{"-b", "2048"}, 7 * 252 + 500, "1"},
      {{"-b", "1024", "-O", "^dir_index"}, 500, ""}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.options.back() + ", " + std::to_string(one.names) + " names");
    format(one.options);
    apply_names(long_names(one.names));
    EXPECT_EQ(tree_levels(), one.levels);
    expect_names(long_names(one.names));
    if (one.levels == "1" && one.names > 400) expect_kernel_goes_on(long_names(one.names));
  }
}

// Names in pairs and more that have the same hash, each pair another.
std::vector<std::string> colliding_names(int version) {
  std::vector<std::pair<ext2_dirhash_t, unsigned>> hashes;
  const __u32 seed[4] = {};
  for (unsigned number = 0; number < 300'000; ++number) {
    const std::string name = long_name(number);
    ext2_dirhash_t hash = 0;
    ext2_dirhash_t minor_hash = 0;
    EXPECT_EQ(ext2fs_dirhash2(version, name.data(), static_cast<int>(name.size()), nullptr, 0,
                              seed, &hash, &minor_hash),
              0);
    hashes.emplace_back(hash, number);
  }
  std::sort(hashes.begin(), hashes.end());
  std::vector<std::string> names;
  for (std::size_t at = 0; at < hashes.size(); ++at) {
    const bool is_as_last = at > 0 && hashes[at].first == hashes[at - 1].first;
    const bool is_as_next = at + 1 < hashes.size() && hashes[at].first == hashes[at + 1].first;
    if (is_as_last || is_as_next) names.push_back(long_name(hashes[at].second));
  }
  return names;
}

TEST_F(DirectoryTest, NamesWithTheSameHashAreFoundInBothBlocksThatTheyAreIn) {
  for (const auto& [name, version] :
       {std::pair{"half_md4", EXT2_HASH_HALF_MD4}, std::pair{"tea", EXT2_HASH_TEA}}) {
    SCOPED_TRACE(name);
    const std::vector<std::string> names = colliding_names(version);
    ASSERT_GT(names.size(), 20U);
    make_empty();  // has no seed
    ASSERT_EQ(run_program({"tune2fs", "-E", std::string("hash_alg=") + name, image()}).status, 0);
    apply_names(names);
    // A block has 15 names, no whole pairs.
    EXPECT_TRUE(tree_has_odd_hash());
    expect_names(names);
  }
}

}  // namespace
}  // namespace varve::test
