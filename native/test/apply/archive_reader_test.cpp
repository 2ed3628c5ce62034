// What a tar says, rule by rule: each of the formats, and what counts where two of them speak.
#include <gtest/gtest.h>

#include "apply/archive_reader.h"
#include "test/apply/tar_builder.h"

namespace varve::test {
namespace {

using apply::ArchiveEntry;
using apply::EntryType;

struct Case {
  std::string rule;
  TarBuilder tar;
  std::string expected;
};

using Show = std::string (*)(const ArchiveEntry&);

// Of every entry what `show` makes of it, with spaces between.
std::string shown(const std::string& tar, Show show) {
  apply::ReadAhead input(stream_of(tar), false);
  apply::ArchiveReader reader(input);
  std::string text;
  while (const std::optional<ArchiveEntry> entry = reader.next()) {
    text += (text.empty() ? "" : " ") + show(*entry);
  }
  return text;
}

void expect_cases(const std::vector<Case>& cases, Show show) {
  for (const Case& one : cases) EXPECT_EQ(shown(one.tar.finish(), show), one.expected) << one.rule;
}

Member file(const std::string& path, char type = '0') {
  Member member{path};
  member.type = type;
  return member;
}

TarBuilder altered(const Member& member, const TarBuilder::Alterations& alterations) {
  return TarBuilder().add_altered(member, alterations);
}

TarBuilder with_records(const std::string& records, const Member& member = file("name")) {
  return TarBuilder().add_records(records).add(member);
}

TarBuilder with_global(const std::string& records) {
  return TarBuilder().add_records(records, 'g');
}

constexpr std::size_t kUidAt = 108;
constexpr std::size_t kSizeAt = 124;
constexpr std::size_t kTimeAt = 136;
constexpr std::size_t kTypeAt = 156;
constexpr std::size_t kMagicAt = 257;
constexpr std::size_t kPrefixAt = 345;
constexpr std::size_t kStarTimesAt = 476;
constexpr std::size_t kStarMagicAt = 508;
const std::string kGnuMagic("ustar  \0", 8);
const std::string kNoMagic(8, '\0');
const std::string kStarTimes = "14000000000 14000000000 ";

TEST(ArchiveReaderTest, ANameIsWhereItsFormatHasIt) {
  const std::string long_prefix = std::string(60, 'p') + "/" + std::string(70, 'q');
  expect_cases(
      {{"ustar: a prefix", altered(file("name"), {{kPrefixAt, "a/b"}}), "a/b/name"},
       {"ustar: the longest prefix", altered(file("name"), {{kPrefixAt, std::string(155, 'p')}}),
        std::string(155, 'p') + "/name"},
       {"ustar: a name of 100 bytes without an end", TarBuilder().add(file(std::string(100, 'n'))),
        std::string(100, 'n')},
       {"star: its prefix ends where its times begin",
        altered(file("name"), {{kPrefixAt, long_prefix},
                               {kStarTimesAt, kStarTimes},
                               {kStarMagicAt, std::string("tar\0", 4)}}),
        long_prefix + "/name"},
       {"GNU: times in place of a prefix",
        altered(file("name"), {{kMagicAt, kGnuMagic}, {kPrefixAt, kStarTimes}}), "name"},
       {"v7: nothing behind the link's name",
        altered(file("name"), {{kMagicAt, kNoMagic}, {kPrefixAt, "rubbish"}}), "name"}},
      [](const ArchiveEntry& entry) { return entry.path; });
}

TEST(ArchiveReaderTest, AnExtendedHeaderSaysANameForOneEntry) {
  const auto pax = [](const std::string& path) { return pax_record("path", path); };
  expect_cases(
      {{"pax", with_records(pax("long")).add(file("next")), "long next"},
       {"pax: an empty value leaves the header's", with_records(pax("")), "name"},
       {"pax: the last of two records", with_records(pax("first") + pax("last")), "last"},
       {"pax: the last of two headers",
        TarBuilder().add_records(pax("first")).add_records("").add(file("name")), "name"},
       {"GNU", TarBuilder().add_long('L', "long").add(file("name")).add(file("next")),
        "long next"},
       {"GNU: an empty one leaves the header's",
        TarBuilder().add_long('L', "").add(file("name")), "name"},
       {"GNU before pax", TarBuilder().add_long('L', "gnu").add_records(pax("pax")).add(file("n")),
        "gnu"},
       {"GNU after pax", TarBuilder().add_records(pax("pax")).add_long('L', "gnu").add(file("n")),
        "gnu"},
       {"without the prefix of ustar",
        TarBuilder().add_records(pax("pax")).add_altered(file("name"), kPrefixAt, "prefix"),
        "pax"}},
      [](const ArchiveEntry& entry) { return entry.path; });
  expect_cases({{"a link in GNU's way counts more, too",
                 TarBuilder()
                     .add_records(pax_record("linkpath", "pax"))
                     .add_long('K', "gnu")
                     .add(file("name", '2')),
                 "gnu"}},
               [](const ArchiveEntry& entry) { return entry.link_target; });
}

TEST(ArchiveReaderTest, AGlobalHeaderCountsWhereAnEntrySaysNothingOfItsOwn) {
  const auto uid = [](const std::string& number) { return pax_record("uid", number); };
  Member seven = file("name");
  seven.uid = 7;
  expect_cases(
      {{"over the fields of every entry behind it",
        TarBuilder().add(seven).add_records(uid("1"), 'g').add(seven).add(seven), "7 1 1"},
       {"under an entry's own, before and behind it",
        with_global(uid("1")).add_records(uid("2")).add(seven).add(seven), "2 1"},
       {"under an entry's own, also if it stands nearer",
        TarBuilder().add_records(uid("2")).add_records(uid("1"), 'g').add(seven), "2"},
       {"the last one", with_global(uid("1")).add_records(uid("3"), 'g').add(seven), "3"},
       {"others stay", with_global(uid("1")).add_records(pax_record("gid", "3"), 'g').add(seven),
        "1"},
       {"an empty value takes it back",
        with_global(uid("1")).add_records(uid(""), 'g').add(seven), "7"}},
      [](const ArchiveEntry& entry) { return std::to_string(entry.attributes.uid); });
  expect_cases({{"under a long name in GNU's way",
                 with_global(pax_record("path", "global")).add_long('L', "own").add(file("name")),
                 "own"}},
               [](const ArchiveEntry& entry) { return entry.path; });
}

TEST(ArchiveReaderTest, AnXattrIsWhatTheLastRecordSays) {
  const auto xattr = [](const std::string& name, const std::string& value) {
    return pax_record("SCHILY.xattr." + name, value);
  };
  expect_cases({{"twice in one header",
                 with_records(xattr("user.a", "1") + xattr("user.b", "2") + xattr("user.a", "3")),
                 "user.b=2;user.a=3;"},
                {"own over global",
                 with_global(xattr("user.a", "1")).add_records(xattr("user.a", "2")).add(file("n")),
                 "user.a=2;"},
                {"empty is a value", with_records(xattr("user.a", "1") + xattr("user.a", "")),
                 "user.a=;"}},
               [](const ArchiveEntry& entry) {
                 std::string text;
                 for (const apply::Xattr& one : entry.xattrs) {
                   text += one.name + "=" + one.value + ";";
                 }
                 return text;
               });
}

TEST(ArchiveReaderTest, ANumberIsOctalOrBase256) {
  const auto uid = [](const std::string& field) { return altered(file("n"), {{kUidAt, field}}); };
  expect_cases({{"zeros in front, a zero byte behind", uid(std::string("0000017\0", 8)), "15"},
                {"spaces around", uid("    17  "), "15"},
                {"no end", uid("00000017"), "15"},
                {"zero bytes in front", uid(std::string("\0" "000017\0", 8)), "15"},
                {"nothing", uid(std::string(8, '\0')), "0"},
                {"base-256", uid(std::string("\x80\0\0\0\xb2\xd0\x5e\0", 8)), "3000000000"}},
               [](const ArchiveEntry& entry) { return std::to_string(entry.attributes.uid); });
}

std::string shown_time(const ArchiveEntry& entry) {
  const apply::Timestamp& time = entry.attributes.time;
  return std::to_string(time.seconds) + "+" + std::to_string(time.nanoseconds);
}

TEST(ArchiveReaderTest, ATimeInAHeaderCanBeBefore1970) {
  const auto time = [](const std::string& field) {
    return altered(file("n"), {{kTimeAt, field}});
  };
  expect_cases({{"octal", time("00000000012"), "10+0"},
                {"base-256", time(std::string("\x80\0\0\0\0\0\0\1\0\0\0\0", 12)), "4294967296+0"},
                {"minus one", time(std::string(12, '\xff')), "-1+0"},
                {"two's complement", time(std::string(10, '\xff') + "\xcf\xc7"), "-12345+0"},
                {"the least", time(std::string(4, '\xff') + '\x80' + std::string(7, '\0')),
                 "-9223372036854775808+0"}},
               shown_time);
}

TEST(ArchiveReaderTest, ATimeOfPaxIsCutOffToNanosecondsTowardsThePast) {
  const std::vector<std::pair<std::string, std::string>> times = {
      {"12", "12+0"},
      {"12.", "12+0"},
      {"12.5", "12+500000000"},
      {"12.000000001", "12+1"},
      {"12.0000000019", "12+1"},
      {"0.9999999999", "0+999999999"},
      {"-3", "-3+0"},
      {"-3.0", "-3+0"},
      {"-3.25", "-4+750000000"},
      {"-0.5", "-1+500000000"},
      {"-3.0000000001", "-4+999999999"},
      {"-3.0000000000", "-3+0"},
      {"-0.9999999999", "-1+0"}};
  for (const auto& [value, expected] : times) {
    const std::string tar = with_records(pax_record("mtime", value)).finish();
    EXPECT_EQ(shown(tar, shown_time), expected) << value;
  }
}

std::string shown_type(const ArchiveEntry& entry) {
  static constexpr const char* kNames[] = {"file",  "directory", "symlink", "link",
                                           "cdev", "bdev",      "fifo"};
  return std::string(kNames[static_cast<int>(entry.type)]) + ":" + std::to_string(entry.stored);
}

TEST(ArchiveReaderTest, ATypeIsWhatItsFlagSays) {
  const auto typed = [](const std::string& path, char flag) {
    return altered(file(path), {{kTypeAt, std::string(1, flag)}});
  };
  expect_cases({{"0", typed("n", '0'), "file:0"},
                {"none, of old", typed("n", '\0'), "file:0"},
                {"7: in one piece", typed("n", '7'), "file:0"},
                {"1", typed("n", '1'), "link:0"},
                {"2", typed("n", '2'), "symlink:0"},
                {"3", typed("n", '3'), "cdev:0"},
                {"4", typed("n", '4'), "bdev:0"},
                {"5", typed("n", '5'), "directory:0"},
                {"6", typed("n", '6'), "fifo:0"},
                {"no flag and a slash at the end: a directory, of old", typed("n/", '\0'),
                 "directory:0"},
                {"the slash of a long name",
                 TarBuilder().add_long('L', "n/").add_altered(
                     file("n"), kTypeAt, std::string(1, '\0')),
                 "directory:0"},
                {"0 and a slash: a file", typed("n/", '0'), "file:0"}},
               shown_type);
}

// A directory's size, for one, was what it may grow to.
TEST(ArchiveReaderTest, OnlyFilesHaveContent) {
  for (const char flag : std::string("123456")) {
    const TarBuilder tar =
        altered(file("n"), {{kTypeAt, std::string(1, flag)}, {kSizeAt, "00000001000"}});
    EXPECT_EQ(shown(TarBuilder(tar).add(file("next")).finish(),
                    [](const ArchiveEntry& entry) { return entry.path; }),
              "n next")
        << flag;
  }
  const TarBuilder old = altered(file("n/"), {{kTypeAt, std::string(1, '\0')},
                                              {kSizeAt, "00000001000"}});
  EXPECT_EQ(shown(TarBuilder(old).add(file("next")).finish(), shown_type), "directory:0 file:0");
}

TEST(ArchiveReaderTest, EmptyPartsOfASparseFileArePartsAsAnyOther) {
  const TarBuilder::Parts parts = {{0, ""}, {512, "ab"}, {600, ""}, {600, ""}, {700, "c"},
                                   {800, ""}};
  for (const std::string version : {"old", "0.0", "0.1", "1.0"}) {
    EXPECT_EQ(shown(TarBuilder().add_sparse(file("n"), 900, parts, version).finish(),
                    [](const ArchiveEntry& entry) {
                      std::string text = std::to_string(entry.size);
                      for (const io::ByteRange& part : entry.parts) {
                        text += ";" + std::to_string(part.offset) + "," +
                                std::to_string(part.length);
                      }
                      return text;
                    }),
              "900;0,0;512,2;600,0;600,0;700,1;800,0")
        << version;
  }
}

}  // namespace
}  // namespace varve::test
