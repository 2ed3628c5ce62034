// What cannot be applied: damaged and hostile archives, disks without room, sums that are wrong.
#include "test/apply/apply_test_case.h"

namespace varve::test {
namespace {

class RefusalTest : public ApplyTestCase {
 protected:
  void SetUp() override { make_empty(); }

  void expect_refusal(const std::string& tar, const std::string& part) const {
    const std::string text = refusal(tar);
    EXPECT_NE(text.find(part), std::string::npos) << "is: " << text << "\nshould have: " << part;
  }
};

Member member(const std::string& path, const std::string& content = "content") {
  Member made{path};
  made.content = content;
  return made;
}

Member linked(const std::string& path, char type, const std::string& target) {
  Member made{path};
  made.type = type;
  made.link = target;
  return made;
}

TEST_F(RefusalTest, WhatIsNoTar) {
  expect_refusal("", "layer.tar is empty");
  expect_refusal(std::string(2000, 'x'), "this is no tar");
  expect_refusal("short", "ends in the middle");
  expect_refusal(std::string("\xfd" "7zXZ\0", 6) + "more", "compressed with xz");
  expect_refusal("BZh9 and more", "compressed with bzip2");
}

TEST_F(RefusalTest, AnErrorNamesTheEntry) {
  const std::string good = TarBuilder().add(member("good")).without_end();
  expect_refusal(TarBuilder().add_raw(good).add(linked("a/bad", '1', "missing")).finish(),
                 "layer.tar: entry 2 \"a/bad\" (at byte 1024 of the tar): it is a hard link to "
                 "\"missing\", which is not there");
}

TEST_F(RefusalTest, ArchivesThatEndTooEarly) {
  const std::string whole = TarBuilder().add(member("a", std::string(5000, 'x'))).without_end();
  expect_refusal(whole.substr(0, 300), "ends in the middle");
  expect_refusal(whole.substr(0, 1500), "ends in the middle of its content");
  expect_refusal(TarBuilder().add_records(pax_record("path", "b")).finish(),
                 "ends behind an extended header");
  const std::string packed = gzip(whole);
  expect_refusal(packed.substr(0, packed.size() - 4), "ends in the middle of the compressed data");
  const std::string frame = zstd(whole);
  expect_refusal(frame.substr(0, frame.size() - 4), "not sound as zstd");
}

TEST_F(RefusalTest, CompressedDataThatAreDamaged) {
  std::string packed = gzip(TarBuilder().add(member("a", std::string(5000, 'x'))).finish());
  packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);
  expect_refusal(packed, "not sound as gzip");
  expect_refusal(gzip(TarBuilder().finish()) + "more", "not sound as gzip");
}

TEST_F(RefusalTest, HeadersThatAreDamaged) {
  std::string bytes = TarBuilder().add(member("a")).add(member("b")).finish();
  bytes[1024] = 'c';
  expect_refusal(bytes, "the sum over it is wrong");
  const Member one = member("one", "");
  expect_refusal(TarBuilder().add_altered(one, 124, "12x").finish(), "size is no number");
  expect_refusal(TarBuilder().add_altered(one, 136, "bad").finish(), "time is no number");
  const std::string early = std::string(4, '\xff') + '\x7f' + std::string(7, '\xff');
  expect_refusal(TarBuilder().add_altered(one, 136, early).finish(), "time is no number");
  expect_refusal(TarBuilder().add_altered(one, 108, "\xff\xff").finish(), "uid is no number");
  expect_refusal(TarBuilder().add_altered(one, 156, "s").finish(), "of the type \"s\"");
  expect_refusal(TarBuilder().add_altered(one, 156, "M").finish(), "of the type \"M\"");
}

TEST_F(RefusalTest, SizesThatNobodyHas) {
  const std::string huge("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
  const Member one = member("one", "");
  expect_refusal(TarBuilder().add_altered(one, 124, huge).finish(), "says that it has");
  const std::string large("\x80\0\0\0\0\0\1\0\0\0\0\0", 12);
  expect_refusal(TarBuilder().add_altered(one, 124, large).finish(), "the file system is full");
  Member extension = member("PaxHeaders/0", "");
  extension.type = 'x';
  expect_refusal(TarBuilder().add_altered(extension, 124, large).finish(), "at most 1 MiB");
  extension.type = 'L';
  expect_refusal(TarBuilder().add_altered(extension, 124, large).finish(), "at most 1 MiB");
  for (const std::uint64_t size : {std::uint64_t{1} << 44, std::uint64_t{1} << 59, UINT64_MAX}) {
    expect_refusal(TarBuilder().add_sparse(one, size, {}, "1.0").finish(), "no file can have");
  }
}

TEST_F(RefusalTest, PaxRecordsThatAreDamaged) {
  for (const std::string records :
       {"12", "5 a=b\n", "99 path=x\n", "7 a=bcd", "-8 a=b\n", "18446744073709551616 a=b\n"}) {
    expect_refusal(TarBuilder().add_records(records).add(member("a")).finish(),
                   "pax header is damaged");
  }
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"size", "-1"}, {"mtime", "1.2.3"}, {"mtime", "now"}, {"uid", "4294967296"},
           {"gid", "x"}}) {
    expect_refusal(TarBuilder().add_records(pax_record(key, value)).add(member("a")).finish(),
                   "\"" + key + "\"");
  }
  TarBuilder many;
  for (unsigned at = 0; at < 40; ++at) {
    many.add_records(pax_record("k" + std::to_string(at), std::string(4000, 'v')), 'g');
  }
  expect_refusal(many.add(member("a")).finish(), "global pax headers");
}

TEST_F(RefusalTest, MapsOfSparseFilesThatAreDamaged) {
  const Member one = member("one", "");
  const auto with = [&one](const TarBuilder::Parts& parts, const std::string& version) {
    return TarBuilder().add_sparse(one, 10'000, parts, version).finish();
  };
  for (const std::string version : {"old", "0.0", "0.1", "1.0"}) {
    expect_refusal(with({{5000, "abc"}, {4000, "d"}}, version), "overlap or are not in order");
    expect_refusal(with({{9'999, "ab"}}, version), "outside of the file");
    expect_refusal(with({{UINT64_MAX, "ab"}}, version),
                   version == "old" ? "" : "outside of the file");
  }
  const auto mapped = [](const std::string& lines) {
    return TarBuilder()
        .add_records(pax_record("GNU.sparse.major", "1") +
                     pax_record("GNU.sparse.realsize", "1000"))
        .add(member("one", lines + std::string((512 - lines.size() % 512) % 512, '\0')))
        .finish();
  };
  expect_refusal(mapped("3\n1\n\n"), "is no number");
  expect_refusal(mapped("99999999999999999999999\n"), "longer than a number");
  expect_refusal(mapped(std::string(600, '1')), "longer than a number");
  expect_refusal(mapped("1\n0\n900\n" + std::string(600, '\0')),
                 "parts have 900 bytes, the archive holds 512");
  std::string endless = "40000000000\n";
  while (endless.size() < 102'400) endless += "1\n0\n";
  expect_refusal(mapped(endless), "longer than the member");
}

TEST_F(RefusalTest, NamesAndLinksThatCannotBe) {
  expect_refusal(TarBuilder().add(member(std::string(256, 'n'))).finish(), "longer than 255 bytes");
  expect_refusal(TarBuilder().add(member(std::string(5000, '/') + "a")).finish(),
                 "more than 4096 bytes");
  expect_refusal(TarBuilder()
                     .add_records(pax_record("path", std::string("a\0b", 3)))
                     .add(member("x"))
                     .finish(),
                 "zero byte");
  expect_refusal(TarBuilder().add(member(".")).finish(), "means the root");
  expect_refusal(TarBuilder().add(member(".wh.")).finish(), "whiteout of no name");
  expect_refusal(TarBuilder().add(member("a/.wh...")).finish(), "whiteout of no name");
  expect_refusal(TarBuilder().add(linked("a", '2', "")).finish(), "symlink to nothing");
  expect_refusal(TarBuilder().add(linked("a", '2', std::string(4096, 't'))).finish(),
                 "longer than 4095");
  expect_refusal(TarBuilder().add(member("a")).add(member("a/b")).finish(), "not a directory");
  expect_refusal(TarBuilder()
                     .add(linked("a", '2', "b"))
                     .add(linked("b", '2', "a"))
                     .add(member("a/c"))
                     .finish(),
                 "more than 40 symlinks");
  expect_refusal(TarBuilder().add(linked("d", '5', "")).add(linked("a", '1', "d")).finish(),
                 "which is a directory");
  expect_refusal(TarBuilder().add(linked("a", '1', "/")).finish(), "which is a directory");
  Member device = linked("dev", '3', "");
  device.major = 4096;
  expect_refusal(TarBuilder().add(device).finish(), "cannot have the number 4096:0");
}

TEST_F(RefusalTest, XattrsThatDoNotFit) {
  Member large = member("a");
  large.xattrs = {{"user.large", std::string(5000, 'x')}};
  expect_refusal(TarBuilder().add(large).finish(), "\"user.large\"");
}

TEST_F(RefusalTest, AFileSystemThatIsFull) {
  expect_refusal(TarBuilder().add(member("a", std::string(70 << 20, 'x'))).finish(),
                 "the file system is full: 17920 blocks are needed");
  TarBuilder many;
  for (unsigned at = 0; at < 5000; ++at) many.add(member(std::to_string(at), ""));
  expect_refusal(many.finish(), "the file system is full: it has no free inode");
}

TEST_F(RefusalTest, ChecksumsThatAreWrong) {
  const std::string tar = TarBuilder().add(member("a")).finish() + std::string(3000, '\0');
  const std::string right = sha256(std::as_bytes(std::span(tar)));
  EXPECT_EQ(apply(tar, false, "sha256:" + right).sha256, right);
  EXPECT_EQ(apply(gzip(tar), false, "sha256:" + right).sha256, right);
  std::string wrong = right;
  wrong[0] = wrong[0] == '0' ? '1' : '0';
  const auto text_of = [&](const std::string& checksum) -> std::string {
    try {
      apply(tar, false, checksum);
    } catch (const apply::ApplyError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(text_of("sha256:" + wrong), "layer.tar: the uncompressed tar has the checksum sha256:" +
                                            right + ", expected was sha256:" + wrong);
  EXPECT_NE(text_of("md5:" + right).find("is not sha256: and 64"), std::string::npos);
  EXPECT_NE(text_of("sha256:12").find("is not sha256: and 64"), std::string::npos);
}

TEST_F(RefusalTest, DisksWithoutAFileSystemThatCanBeChanged) {
  const std::string tar = TarBuilder().add(member("a")).finish();
  make_disk(std::uint64_t{64} << 20);
  expect_refusal(tar, "there is no ext4 file system");
  const auto formatted = [&](const std::vector<std::string>& options) {
    make_disk(std::uint64_t{64} << 20);
    std::vector<std::string> arguments = {"mke2fs", "-q", "-F"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(image());
    EXPECT_EQ(run_program(arguments).status, 0);
  };
  formatted({"-t", "ext3"});
  expect_refusal(tar, "ext2 or ext3");
  formatted({"-t", "ext4", "-O", "inline_data"});
  expect_refusal(tar, "features with which layers cannot be applied: inline_data");
  formatted({"-t", "ext4", "-O", "quota,bigalloc"});
  expect_refusal(tar, "quota, bigalloc");
  formatted({"-t", "ext4"});
  EXPECT_EQ(run_program({"debugfs", "-w", "-R", "feature needs_recovery", image()}).status, 0);
  expect_refusal(tar, "its journal is to be replayed first");
  formatted({"-t", "ext4"});
  const std::string damage = "set_super_value first_data_block 64";
  EXPECT_EQ(run_program({"debugfs", "-w", "-R", damage, image()}).status, 0);
  expect_refusal(tar, "begin at block 64, which can only be 1: run e2fsck");
  make_disk(4096);
  EXPECT_THROW(apply(tar, true), apply::ApplyError);
}

TEST_F(RefusalTest, ADiskThatIsShorterThanItsFileSystem) {
  const auto file = io::open_writable_file(image(), false);
  ASSERT_EQ(file->resize(std::uint64_t{32} << 20), 0);
  expect_refusal(TarBuilder().add(member("a")).finish(), "larger than its disk");
}

}  // namespace
}  // namespace varve::test
