// What a layer's tar says is what the kernel shows, and what tar itself makes of it.
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <tuple>

#include "test/apply/apply_test_case.h"

namespace {

// libext2fs asks this for the time, wherever it is not told one.
std::time_t clock_now = 1'000'000'000;

}  // namespace

extern "C" __attribute__((visibility("default"))) std::time_t time(std::time_t* result) noexcept {
  if (result != nullptr) *result = clock_now;
  return clock_now;
}

namespace varve::test {
namespace {

using ContentTest = ApplyTestCase;

std::string bytes_of(std::size_t length, unsigned seed) {
  std::string bytes(length, '\0');
  std::uint64_t state = seed;
  for (char& byte : bytes) {
    state = state * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<char>(state >> 56);
  }
  return bytes;
}

Member directory(const std::string& path) {
  Member member{path};
  member.type = '5';
  member.mode = 0755;
  return member;
}

Member file(const std::string& path, const std::string& content) {
  Member member{path};
  member.content = content;
  return member;
}

Member link(const std::string& path, char type, const std::string& target) {
  Member member{path};
  member.type = type;
  member.link = target;
  member.mode = 0777;
  return member;
}

// A capability as setcap writes it.
std::string capability() { return std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20); }

std::string everything() {
  TarBuilder tar;
  Member root = directory("./");
  root.mode = 0751;
  root.seconds = 1'600'000'000;
  tar.add(root);
  Member sticky = directory("tmp/");
  sticky.mode = 01777;
  sticky.xattrs = {{"user.on", "a directory"}};
  tar.add(sticky);
  Member tool = file("bin/tool", bytes_of(9001, 1));
  tool.mode = 04755;
  tool.uid = 70'000;
  tool.gid = 3'000'000'000;
  tool.nanoseconds = 123'456'789;
  tool.xattrs = {{"security.capability", capability()},
                 {"user.empty", ""},
                 {"user.binary", std::string("a\0=\nb", 5)},
                 {"trusted.long", std::string(1000, 'x')}};
  tar.add(directory("bin")).add(tool);
  tar.add(file("bin/empty", "")).add(file("bin/one", "1"));
  tar.add(file("bin/block", bytes_of(4096, 2))).add(file("bin/large", bytes_of(5'000'001, 3)));
  tar.add(link("bin/again", '1', "bin/tool")).add(link("bin/more", '1', "./bin/again"));
  tar.add(link("fast", '2', "bin/tool")).add(link("slow", '2', "/" + std::string(200, 's')));
  tar.add(link("edge59", '2', std::string(59, 'e'))).add(link("edge60", '2', std::string(60, 'e')));
  tar.add(directory("dev"));
  for (const auto& [path, type, major, minor] :
       {std::tuple{"dev/null", '3', 1U, 3U}, std::tuple{"dev/disk", '4', 259U, 70'000U},
        std::tuple{"dev/pipe", '6', 0U, 0U}}) {
    Member device{path};
    device.type = type;
    device.major = major;
    device.minor = minor;
    device.mode = 0620;
    tar.add(device);
  }
  Member old = file("old", "before 1970");
  old.seconds = -12'345;
  old.nanoseconds = 0;
  tar.add(old);
  Member late = file("late", "behind 2038");
  late.seconds = 6'000'000'000;
  late.nanoseconds = 1;
  tar.add(late);
  tar.add(file("long/" + std::string(120, 'd') + "/" + std::string(255, 'n'), "long name"));
  tar.add_long('L', "gnu/" + std::string(180, 'g')).add(file("gnu/cut", "gnu's long name"));
  tar.add_long('K', std::string(150, 'k')).add(link("gnu/link", '2', "cut"));
  tar.add(file("caf\xe9", "a name that is no UTF-8"));
  const TarBuilder::Parts parts = {
      {512, std::string(512, 'a')}, {100'352, bytes_of(8192, 4)}, {307'200, "x"}, {500'000, ""}};
  for (const std::string version : {"old", "0.0", "0.1", "1.0"}) {
    tar.add_sparse(file("sparse-" + version, ""), 500'000, parts, version);
  }
  TarBuilder::Parts many;
  for (std::uint64_t at = 0; at < 60; ++at) many.push_back({at * 20'480, std::string(1024, 'p')});
  many.push_back({2'000'000, ""});
  tar.add_sparse(file("sparse-many", ""), 2'000'000, many, "old");
  // Directories that change after their own entry keep its time.
  return tar.add(file("tmp/late", "in a directory that came long before")).finish();
}

TEST_F(ContentTest, ALayerIsWhatTarMakesOfItOnAMountedFileSystem) {
  VARVE_NEEDS_ROOT();
  const std::string tar = everything();
  make_empty();
  apply(tar);
  const Listing ours = files();
  ASSERT_GT(ours.size(), 30U);

  write_file("layer.tar", tar);
  const auto other = io::open_writable_file(at("other"), true);
  ASSERT_EQ(other->resize(std::uint64_t{64} << 20), 0);
  ASSERT_EQ(run_program({"mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", at("other")})
                .status,
            0);
  const Mounted mounted(at("other"), at("reference"), Mounted::Access::kWrite);
  ASSERT_TRUE(mounted.is_mounted());
  ASSERT_EQ(extract_with_tar(at("layer.tar"), at("reference")), "");
  Listing theirs = list_files(at("reference"));
  // Directories that no entry made have the time of that moment there.
  for (const std::string& path :
       {std::string("/long"), "/long/" + std::string(120, 'd'), std::string("/gnu")}) {
    theirs.erase(path);
    Listing::const_iterator made = ours.find(path);
    ASSERT_NE(made, ours.end());
    theirs[path] = "040755 0:0 1.000000000";
  }
  EXPECT_EQ(differences(ours, theirs), "");
}

struct statx status_of(const std::string& path) {
  struct statx status = {};
  EXPECT_EQ(::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
                    &status),
            0)
      << path;
  return status;
}

TEST_F(ContentTest, AllFourTimesAreTheEntrys) {
  VARVE_NEEDS_ROOT();
  make_empty();
  TarBuilder tar;
  const std::map<std::string, std::pair<std::int64_t, std::uint32_t>> times = {
      {"now", {1'700'000'000, 123'456'789}},
      {"old", {-12'345, 999'999'999}},
      {"late", {6'000'000'000, 1}}};
  for (const auto& [name, time] : times) {
    Member member = file(name, "");
    std::tie(member.seconds, member.nanoseconds) = time;
    if (time.first < 0) {
      // Pax counts the fraction away from zero, a time its nanoseconds ahead.
      tar.add_records(pax_record("mtime", "-12344.000000001"));
      member.seconds = member.nanoseconds = 0;
    }
    tar.add(member);
  }
  apply(tar.finish());
  const Mounted mounted(image(), at("mnt"));
  for (const auto& [name, time] : times) {
    const struct statx status = status_of(at("mnt/" + name));
    for (const statx_timestamp& one :
         {status.stx_mtime, status.stx_atime, status.stx_ctime, status.stx_btime}) {
      EXPECT_EQ(std::pair(std::int64_t{one.tv_sec}, std::uint32_t{one.tv_nsec}), time) << name;
    }
  }
}

TEST_F(ContentTest, EmptyPartsOfSparseFilesTakeNothing) {
  VARVE_NEEDS_ROOT();
  make_empty();
  const TarBuilder::Parts parts = {{0, ""},      {100, "one"}, {5000, ""}, {5000, ""},
                                   {5000, "two"}, {9000, ""},  {9000, ""}};
  std::string content(9000, '\0');
  for (const auto& [offset, bytes] : parts) content.replace(offset, bytes.size(), bytes);
  const std::vector<std::string> versions = {"old", "0.0", "0.1", "1.0"};
  for (const std::string& version : versions) {
    apply(TarBuilder()
              .add_sparse(file("some" + version, ""), 9000, parts, version)
              .add_sparse(file("none" + version, ""), 9000, {{0, ""}, {9000, ""}}, version)
              .finish());
  }
  const std::string some = sha256(std::as_bytes(std::span(content))).substr(0, 16);
  const std::string none = sha256(std::vector<std::byte>(9000)).substr(0, 16);
  const Listing shown = files();
  for (const std::string& version : versions) {
    EXPECT_NE(shown.at("/some" + version).find("size 9000 " + some), std::string::npos) << version;
    EXPECT_NE(shown.at("/none" + version).find("size 9000 " + none), std::string::npos) << version;
  }
}

TEST_F(ContentTest, SparseFilesStaySparse) {
  VARVE_NEEDS_ROOT();
  make_empty();
  const TarBuilder::Parts parts = {{8192, "here"}, {1'000'000'000, "there"}};
  for (const std::string version : {"old", "0.0", "0.1", "1.0"}) {
    apply(TarBuilder().add_sparse(file(version, ""), 2'000'000'000, parts, version).finish());
  }
  EXPECT_EQ(check_file_system(image()), "");
  const Mounted mounted(image(), at("mnt"));
  ASSERT_TRUE(mounted.is_mounted());
  for (const std::string version : {"old", "0.0", "0.1", "1.0"}) {
    struct stat status = {};
    ASSERT_EQ(::stat(at("mnt/" + version).c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 2'000'000'000);
    EXPECT_EQ(status.st_blocks, 16) << version;
    std::ifstream content(at("mnt/" + version));
    std::string word(5, '\0');
    content.seekg(1'000'000'000);
    content.read(word.data(), 5);
    EXPECT_EQ(word, "there");
  }
}

TEST_F(ContentTest, TheSameTarOnTheSameDiskGivesTheSameBytes) {
  const std::string tar = everything();
  const std::string second = TarBuilder()
                                 .add(Member{"bin/.wh.tool"})
                                 .add(directory("bin"))
                                 .add(file("new", "file"))
                                 .finish();
  const auto run = [&](const char* zone, mode_t mask, std::time_t now) {
    ::setenv("TZ", zone, 1);
    const mode_t before = ::umask(mask);
    clock_now = now;
    make_disk(std::uint64_t{64} << 20);
    apply(tar, true);
    apply(second);
    ::umask(before);
    ::unsetenv("TZ");
    return sha256(read_all(image()));
  };
  EXPECT_EQ(run("UTC", 022, 1'000'000'000), run("Asia/Tokyo", 077, 2'000'000'000));
}

TEST_F(ContentTest, CompressedLayersAreTheSame) {
  const std::string tar = everything();
  const auto sum_of = [&](const std::string& input) {
    make_disk(std::uint64_t{64} << 20);
    apply(input, true);
    return sha256(read_all(image()));
  };
  const std::string plain = sum_of(tar);
  EXPECT_EQ(sum_of(gzip(tar)), plain);
  EXPECT_EQ(sum_of(zstd(tar)), plain);
  const std::size_t half = tar.size() / 2;
  EXPECT_EQ(sum_of(gzip(tar.substr(0, half)) + gzip(tar.substr(half)) + std::string(512, '\0')),
            plain);
  EXPECT_EQ(sum_of(zstd(tar.substr(0, half)) + zstd(tar.substr(half))), plain);
}

TEST_F(ContentTest, ADirectoryOfManyNamesHasAHashTreeThatTheKernelTakes) {
  VARVE_NEEDS_ROOT();
  make_disk(std::uint64_t{256} << 20);
  TarBuilder tar;
  for (unsigned at = 0; at < 9000; ++at) {
    tar.add(link("many/" + std::to_string(at) + std::string(60, 'n'), '2', "x"));
  }
  // Fewer than were there before, and in the end so few that they need no tree.
  apply(tar.finish(), true);
  EXPECT_EQ(files().size(), 9002U);
  EXPECT_NE(run_program({"debugfs", "-R", "htree_dump /many", image()}).output.find("Number of"),
            std::string::npos);
  TarBuilder fewer;
  for (unsigned at = 0; at < 8900; ++at) {
    fewer.add(Member{"many/.wh." + std::to_string(at) + std::string(60, 'n')});
  }
  apply(fewer.finish());
  EXPECT_EQ(files().size(), 102U);
  TarBuilder none;
  none.add(Member{"many/.wh..wh..opq"}).add(file("many/one", "1"));
  apply(none.finish());
  EXPECT_EQ(files().size(), 3U);
}

TEST_F(ContentTest, ManySubdirectoriesAreCountedAsOne) {
  VARVE_NEEDS_ROOT();
  make_disk(std::uint64_t{2} << 30);
  TarBuilder tar;
  for (unsigned at = 0; at < 65'100; ++at) tar.add(directory("d/" + std::to_string(at)));
  apply(tar.finish(), true);
  EXPECT_EQ(check_file_system(image()), "");
}

TEST_F(ContentTest, XattrsThatExt4HasNoPlaceForAreLeftOutWithAWord) {
  VARVE_NEEDS_ROOT();
  make_empty();
  Member member = file("file", "");
  member.xattrs = {{"system.nfs4_acl", "x"}, {"user.kept", "y"},
                   {"system.posix_acl_access", "no acl at all"}};
  Member pipe{"pipe"};
  pipe.type = '6';
  pipe.xattrs = {{"user.refused", "by the kernel, too"}, {"trusted.kept", "z"}};
  const apply::ApplyResult result = apply(TarBuilder().add(member).add(pipe).finish());
  EXPECT_EQ(result.left_out_count, 3U);
  ASSERT_EQ(result.left_out.size(), 3U);
  EXPECT_NE(result.left_out[2].find("\"pipe\": the extended attribute \"user.refused\""),
            std::string::npos)
      << result.left_out[2];
  const Listing shown = files();
  EXPECT_NE(shown.at("/file").find("user.kept"), std::string::npos);
  EXPECT_NE(shown.at("/pipe").find("trusted.kept"), std::string::npos);
}

// The tag, the permissions and the id of each entry.
using AclEntries = std::vector<std::array<std::uint32_t, 3>>;

// An ACL as xattrs have it.
std::string acl_of(std::uint32_t version, const AclEntries& entries) {
  std::string acl;
  const auto put = [&acl](std::uint32_t number, unsigned bytes) {
    for (unsigned at = 0; at < bytes; ++at) acl += static_cast<char>(number >> (8 * at));
  };
  put(version, 4);
  for (const auto& [tag, permissions, id] : entries) {
    put(tag, 2);
    put(permissions, 2);
    put(id, 4);
  }
  return acl;
}

constexpr std::uint32_t kNoId = 0xffff'ffff;
// The owner may read and write, user 1000 and the group read, others nothing.
const AclEntries kAclEntries = {
    {1, 6, kNoId}, {2, 4, 1000}, {4, 4, kNoId}, {16, 4, kNoId}, {32, 0, kNoId}};

TEST_F(ContentTest, AnAclIsWhatTheKernelShows) {
  VARVE_NEEDS_ROOT();
  make_empty();
  const std::string acl = acl_of(2, kAclEntries);
  Member member = file("file", "");
  member.mode = 0640;
  member.xattrs = {{"system.posix_acl_access", acl}};
  Member parent = directory("directory");
  parent.mode = 0640;
  parent.xattrs = {{"system.posix_acl_access", acl}, {"system.posix_acl_default", acl}};
  apply(TarBuilder().add(member).add(parent).finish());
  const Listing shown = files();
  const std::string sum = sha256(std::as_bytes(std::span(acl))).substr(0, 16);
  const std::string access = " system.posix_acl_access=" + sum;
  EXPECT_NE(shown.at("/file").find(access), std::string::npos) << shown.at("/file");
  EXPECT_NE(shown.at("/directory").find(access + " system.posix_acl_default=" + sum),
            std::string::npos)
      << shown.at("/directory");
}

TEST_F(ContentTest, AnAclThatIsNoneIsLeftOut) {
  make_empty();
  const std::string sound = acl_of(2, kAclEntries);
  for (const std::string& acl :
       {acl_of(1, kAclEntries), acl_of(3, kAclEntries), sound + "more", sound.substr(0, 3)}) {
    Member member = file("file", "");
    member.xattrs = {{"system.posix_acl_access", acl}};
    EXPECT_EQ(apply(TarBuilder().add(member).finish()).left_out_count, 1U) << acl.size();
  }
}

TEST_F(ContentTest, TheOrderOfXattrsInATarDoesNotCount) {
  const auto sum_of = [&](const std::vector<std::string>& names) {
    make_disk(std::uint64_t{8} << 20);
    std::string records;
    for (const std::string& name : names) {
      records += pax_record("SCHILY.xattr." + name, "value of " + name);
    }
    apply(TarBuilder().add_records(records).add(file("file", "")).finish(), true);
    return sha256(read_all(image()));
  };
  EXPECT_EQ(sum_of({"user.b", "trusted.c", "user.a", "security.d"}),
            sum_of({"security.d", "user.a", "user.b", "trusted.c"}));
}

}  // namespace
}  // namespace varve::test
