// Layers upon one another: whiteouts, opaque directories, what replaces what, and where names lead.
#include "test/apply/apply_test_case.h"

namespace varve::test {
namespace {

class LayersTest : public ApplyTestCase {
 protected:
  void SetUp() override {
    VARVE_NEEDS_ROOT();
    make_empty();
  }
};

std::string names(const Listing& listing) {
  std::string text;
  for (const auto& [path, line] : listing) text += path + " ";
  return text;
}

TEST_F(LayersTest, AWhiteoutDeletesWhatLiesBelow) {
  apply(layer({entry("a/file"), entry("a/tree/x/y"), entry("b"), entry("c")}));
  apply(layer({entry("a/.wh.file"), entry("a/.wh.tree"), entry(".wh.b"), entry(".wh.never"),
               entry("no/such/.wh.name")}));
  EXPECT_EQ(names(files()), "/ /a /c ");
}

TEST_F(LayersTest, AWhiteoutDoesNotReachItsOwnLayer) {
  apply(layer({entry("a/below"), entry("d/below"), entry("e/f/below")}));
  apply(layer({entry("a", '5'), entry("a/own"), entry(".wh.a"), entry("d/own"), entry(".wh.d"),
               entry("new"), entry(".wh.new"), entry("e/f/own"), entry("e/.wh..wh..opq")}));
  EXPECT_EQ(names(files()), "/ /a /a/own /d /d/own /e /e/f /e/f/own /new ");
}

TEST_F(LayersTest, AnOpaqueDirectoryHidesWhatLiesBelowWhereverTheMarkStands) {
  apply(layer({entry("a/one"), entry("a/two/three"), entry("b/one"), entry("b/two/three")}));
  apply(layer({entry("a/.wh..wh..opq"), entry("a/new"), entry("b/new"), entry("b/.wh..wh..opq")}));
  EXPECT_EQ(names(files()), "/ /a /a/new /b /b/new ");
}

TEST_F(LayersTest, AnOpaqueMarkInTheMiddleOfALayerHidesNothingOfIt) {
  apply(layer({entry("a/x/below"), entry("a/y/below"), entry("a/z")}));
  apply(layer({entry("a/x", '5'), entry("a/own"), entry("a/.wh..wh..opq"), entry("a/y", '5'),
               entry("a/y/own")}));
  EXPECT_EQ(names(files()), "/ /a /a/own /a/x /a/y /a/y/own ");
}

TEST_F(LayersTest, AnOpaqueMarkIsOneOnlyAsTheLastPartOfAName) {
  apply(layer({entry("a/below")}));
  apply(layer({entry("a/.wh..wh..opq/inside"), entry("a/.wh..wh..opq/.wh.below")}));
  EXPECT_EQ(names(files()), "/ /a /a/below ");
}

TEST_F(LayersTest, TheRootCanBeOpaqueAndKeepsItsLostAndFoundAlone) {
  apply(layer({entry("a"), entry("b/c"), entry("lost+found/x/y"), entry("lost+found/z")}));
  apply(layer({entry(".wh..wh..opq"), entry("d")}));
  EXPECT_EQ(names(files()), "/ /d ");
  const Mounted mounted(image(), at("mnt"));
  EXPECT_TRUE(exists("mnt/lost+found"));
  EXPECT_FALSE(exists("mnt/lost+found/x"));
  EXPECT_FALSE(exists("mnt/lost+found/z"));
}

TEST_F(LayersTest, ADirectoryThatALayerNamesAgainStaysWithoutItsContent) {
  apply(layer({entry("a/below"), entry("b/c/below"), entry("d/e/below")}));
  apply(layer({entry("a", '5'), entry(".wh.a"),                // named, then hidden
               entry("b/.wh..wh..opq"), entry("b/c", '5'),     // hidden, then named
               entry("d/e", '5'), entry("d/.wh..wh..opq")}));  // named, then hidden from above
  EXPECT_EQ(names(files()), "/ /a /b /b/c /d /d/e ");
}

TEST_F(LayersTest, MarksOfAufsAreNoFiles) {
  apply(layer({entry(".wh..wh.aufs"), entry(".wh..wh.plnk", '5'), entry(".wh..wh.plnk/1.2"),
               entry("a")}));
  EXPECT_EQ(names(files()), "/ /a ");
}

TEST_F(LayersTest, EveryKindReplacesEveryOther) {
  const std::string kinds = "0256";
  std::vector<Member> below;
  std::vector<Member> above;
  for (const char one : kinds) {
    for (const char other : kinds) {
      const std::string path = std::string(1, one) + other;
      below.push_back(entry(path, one, one == '2' ? "target" : ""));
      if (one == '5') below.push_back(entry(path + "/inside"));
      above.push_back(entry(path, other, other == '2' ? "elsewhere" : ""));
    }
  }
  apply(layer(below));
  apply(layer(above));
  const Listing shown = files();
  for (const Member& member : above) {
    const std::string kind = member.type == '0'   ? "100644"
                             : member.type == '2' ? "120777"
                             : member.type == '5' ? "040644"
                                                  : "010644";
    EXPECT_TRUE(shown.at("/" + member.path).starts_with(kind)) << shown.at("/" + member.path);
  }
  // Only a directory upon a directory is the same one.
  EXPECT_EQ(shown.size(), 1 + above.size() + 1);
  EXPECT_TRUE(shown.contains("/55/inside"));
}

TEST_F(LayersTest, ADirectoryHasTheAttributesOfTheLastLayerAlone) {
  Member first = entry("a", '5');
  first.xattrs = {{"user.first", "1"}, {"user.both", "1"}};
  Member second = entry("a", '5');
  second.mode = 0700;
  second.uid = 5;
  second.xattrs = {{"user.both", "2"}};
  apply(layer({first, entry("a/file")}));
  apply(layer({second}));
  const std::string line = files().at("/a");
  EXPECT_TRUE(line.starts_with("040700 5:0 1700000000.")) << line;
  EXPECT_EQ(line.find("user.first"), std::string::npos) << line;
  EXPECT_NE(line.find("user.both"), std::string::npos) << line;
}

TEST_F(LayersTest, ADirectoryThatNoEntryNamesKeepsItsTime) {
  apply(layer({entry("a", '5')}));
  apply(layer({entry("a/file")}));
  EXPECT_TRUE(files().at("/a").starts_with("040644 0:0 1700000000.")) << files().at("/a");
}

TEST_F(LayersTest, OtherNamesOfAReplacedFileKeepItsContent) {
  apply(layer({entry("a"), entry("b", '1', "a")}));
  apply(layer({entry("a"), entry("c", '1', "b")}));
  const Listing shown = files();
  EXPECT_NE(shown.at("/a").find("links 1"), std::string::npos);
  EXPECT_NE(shown.at("/b").find("links 2"), std::string::npos);
  EXPECT_NE(shown.at("/c").find("same as /b"), std::string::npos);
}

TEST_F(LayersTest, HardLinksInCirclesLeadNowhereNew) {
  apply(layer({entry("a"), entry("a", '1', "a"), entry("b", '1', "a"), entry("a", '1', "b"),
               entry("d/e"), entry("d", '1', "d/e")}));
  const Listing shown = files();
  EXPECT_EQ(names(shown), "/ /a /b /d ");
  EXPECT_NE(shown.at("/a").find("links 2"), std::string::npos);
}

TEST_F(LayersTest, AFileHasAtMost65000Names) {
  apply(layer({entry("a")}));
  ASSERT_EQ(run_program({"debugfs", "-w", "-R", "set_inode_field /a links_count 65000", image()})
                .status,
            0);
  EXPECT_NE(refusal(layer({entry("b", '1', "a")})).find("65000 names already"), std::string::npos);
  // A name that it has is not one more.
  EXPECT_EQ(refusal(layer({entry("a", '1', "a")})), "");
}

TEST_F(LayersTest, NamesDoNotLeaveTheTree) {
  apply(layer({entry("../../up"), entry("/absolute"), entry("a/../../b/./c//d"),
               entry("..", '5')}));
  EXPECT_EQ(names(files()), "/ /absolute /b /b/c /b/c/d /up ");
}

TEST_F(LayersTest, SymlinksOnTheWayAreFollowedWithinTheTree) {
  apply(layer({entry("usr/lib", '5'), entry("lib", '2', "usr/lib"),
               entry("out", '2', "../../../../etc"), entry("root", '2', "/"),
               entry("usr/back", '2', "../var"), entry("usr/absolute", '2', "/opt/x"),
               entry("usr/above", '2', "/../../srv/.//y/../z")}));
  apply(layer({entry("lib/one"), entry("out/two"), entry("root/three"), entry("usr/back/four"),
               entry("usr/absolute/five"), entry("usr/above/six"), entry("link", '1', "lib/one"),
               entry("lib/.wh.never")}));
  EXPECT_EQ(names(files()),
            "/ /etc /etc/two /lib /link /opt /opt/x /opt/x/five /out /root /srv /srv/y /srv/z "
            "/srv/z/six /three /usr /usr/above /usr/absolute /usr/back /usr/lib /usr/lib/one "
            "/var /var/four ");
  // Marks find what they mean in the same way.
  apply(layer({entry("usr/absolute/.wh.five"), entry("usr/above/.wh..wh..opq")}));
  const Listing shown = files();
  EXPECT_TRUE(shown.contains("/opt/x"));
  EXPECT_FALSE(shown.contains("/opt/x/five"));
  EXPECT_TRUE(shown.contains("/srv/z"));
  EXPECT_FALSE(shown.contains("/srv/z/six"));
}

TEST_F(LayersTest, TheLastPartOfANameIsNeverFollowed) {
  apply(layer({entry("target"), entry("a", '2', "target"), entry("b", '2', "dir"),
               entry("dir", '5')}));
  apply(layer({entry("a"), entry("b", '5'), entry("b/inside"), entry("c", '1', "a")}));
  EXPECT_EQ(names(files()), "/ /a /b /b/inside /c /dir /target ");
}

TEST_F(LayersTest, FileSystemsOfOtherMakersTakeLayers) {
  const std::vector<std::vector<std::string>> kinds = {
      {"-O", "metadata_csum,64bit,has_journal"},
      {"-O", "metadata_csum,metadata_csum_seed,^resize_inode,meta_bg"},
      {"-O", "^64bit,^flex_bg,uninit_bg"},
      {"-O", "^dir_index"},
      {"-O", "^ext_attr,^dir_nlink,^large_file"},
      {"-b", "1024"},
      {"-b", "2048", "-O", "metadata_csum"},
      {"-I", "128"},
      {"-I", "512"},
      {"-E", "hash_seed=01234567-89ab-cdef-0123-456789abcdef"}};
  Member tool = entry("bin/tool");
  tool.content = std::string(100'000, 't');
  tool.xattrs = {{"user.name", "value"}};
  std::vector<Member> members = {tool, entry("bin/link", '1', "bin/tool"),
                                 entry("slow", '2', std::string(200, 's')),
                                 entry("kernel/.wh.77"), entry("kernel/new")};
  for (unsigned at = 0; at < 700; ++at) {
    members.push_back(entry("many/" + std::to_string(at) + std::string(30, 'n'), '6'));
  }
  for (const std::vector<std::string>& kind : kinds) {
    SCOPED_TRACE(kind.back());
    make_disk(std::uint64_t{64} << 20);
    std::vector<std::string> arguments = {"mke2fs", "-q", "-F", "-t", "ext4"};
    arguments.insert(arguments.end(), kind.begin(), kind.end());
    arguments.push_back(image());
    ASSERT_EQ(run_program(arguments).status, 0);
    {
      // A directory with the kernel's own hash tree.
      const Mounted mounted(image(), at("mnt"), Mounted::Access::kWrite);
      ASSERT_TRUE(mounted.is_mounted());
      for (unsigned at_name = 0; at_name < 1000; ++at_name) {
        make_directory("mnt/kernel");
        write_file("mnt/kernel/" + std::to_string(at_name));
      }
    }
    apply(layer(members));
    Listing shown = files();
    // The root, kernel and 1000 files in it, bin with two, slow, many with 700.
    EXPECT_EQ(shown.size(), 1U + 1001 + 3 + 1 + 701);
    EXPECT_FALSE(shown.contains("/kernel/77"));
    EXPECT_NE(shown.at("/bin/tool").find("size 100000"), std::string::npos);
    EXPECT_NE(shown.at("/bin/tool").find("user.name"), std::string::npos);
    apply(layer({entry(".wh.many"), entry(".wh.kernel"), entry("bin/.wh.tool")}));
    EXPECT_EQ(names(files()), "/ /bin /bin/link /slow ");
  }
}

TEST_F(LayersTest, DeepTreesAreAppliedAndDeleted) {
  std::string path;
  for (unsigned at = 0; at < 2000; ++at) path += "d/";
  apply(layer({entry(path + "file")}));
  EXPECT_EQ(check_file_system(image()), "");
  apply(layer({entry(".wh.d")}));
  EXPECT_EQ(names(files()), "/ ");
}

}  // namespace
}  // namespace varve::test
