// Layers in tar archives.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "tar/header.h"
#include "tar/layer_entry.h"
#include "tar/layer_writer.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"

namespace varve::test {

namespace {

using tar::kBlockSize;

void put(std::vector<std::byte>& bytes, std::size_t at, const std::string& text) {
  std::memcpy(bytes.data() + at, text.data(), text.size());
}

void set_sum(std::vector<std::byte>& archive, std::size_t header) {
  put(archive, header + 148, "        ");
  unsigned sum = 0;
  for (std::size_t at = 0; at < kBlockSize; ++at) {
    sum += static_cast<unsigned char>(archive[header + at]);
  }
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  put(archive, header + 148, std::string(text) + '\0');
}

// Appends a header and its content, as an ordinary tar program does.
void add(std::vector<std::byte>& archive, const std::string& name, char type,
         const std::string& content, const std::string& size = {}) {
  const std::size_t header = archive.size();
  archive.resize(header + kBlockSize + (content.size() + 511) / 512 * 512);
  char octal[16];
  std::snprintf(octal, sizeof octal, "%011o", static_cast<unsigned>(content.size()));
  put(archive, header, name);
  put(archive, header + 124, size.empty() ? octal : size);
  archive[header + 156] = static_cast<std::byte>(type);
  put(archive, header + 257,
      std::string("ustar\0"
                  "00",
                  8));
  put(archive, header + kBlockSize, content);
  set_sum(archive, header);
}

std::string record(const std::string& text) {
  std::size_t length = text.size() + 3;
  while (std::to_string(length).size() + text.size() + 2 != length) ++length;
  return std::to_string(length) + " " + text + "\n";
}

std::optional<io::ByteRange> layer_of(const std::vector<std::byte>& archive) {
  return tar::find_layer(MemoryFile(archive));
}

void expect_layer(const std::vector<std::byte>& archive, std::uint64_t offset, std::uint64_t size) {
  const std::optional<io::ByteRange> found = layer_of(archive);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, offset);
  EXPECT_EQ(found->length, size);
}

void expect_refused(const std::vector<std::byte>& archive, const std::string& reason) {
  try {
    static_cast<void>(layer_of(archive));
    ADD_FAILURE() << "not refused, though " << reason;
  } catch (const io::FormatError& error) {
    EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
  }
}

TEST(TarTest, RecordedArchivesHoldTheLayerWhereTheyShould) {
  expect_layer(fixture("tar/commit-lz4.tar"), 1536, 45720);
  expect_layer(fixture("tar/zfile-zstd.tar"), 1536, 29008);
  expect_layer(fixture("tar/ustar-lz4.tar"), 512, 45722);
  expect_layer(fixture("tar/ustar-raw.tar"), 512, 69632);
}

TEST(TarTest, ALayerPutIntoATarGivesTheRecordedArchive) {
  for (const char* name : {"tar/commit-lz4.tar", "tar/zfile-zstd.tar"}) {
    const std::vector<std::byte> recorded = fixture(name);
    const auto layer = tar::unwrap(io::open_file(fixture_path(name)));
    MemoryFile target;
    tar::LayerWriter writer(target);
    EXPECT_EQ(writer.size(), 0U);
    EXPECT_EQ(writer.write(read_all(*layer), 0), 0);
    EXPECT_EQ(writer.size(), layer->size());
    EXPECT_EQ(writer.finish(), 0);
    EXPECT_TRUE(target.content() == recorded) << name;
  }
}

TEST(TarTest, AnArchiveThatWasNotFinishedIsNone) {
  MemoryFile target;
  tar::LayerWriter writer(target);
  EXPECT_EQ(layer_of(target.content()), std::nullopt);
  EXPECT_EQ(writer.write(noise(5000, 1), 0), 0);
  EXPECT_EQ(layer_of(target.content()), std::nullopt);
  EXPECT_EQ(writer.finish(), 0);
  expect_layer(target.content(), 1536, 5000);
  EXPECT_THROW(tar::LayerWriter{target}, io::FormatError);
}

TEST(TarTest, AWriterReadsBackWhatItWrote) {
  MemoryFile target;
  tar::LayerWriter writer(target);
  const std::vector<std::byte> content = noise(3000, 1);
  ASSERT_EQ(writer.write(content, 0), 0);
  EXPECT_EQ(read_all(writer), content);
  std::byte byte = {};
  EXPECT_EQ(writer.read({&byte, 1}, 3000), -EINVAL);
  EXPECT_EQ(writer.write({&byte, 1}, UINT64_MAX), -EFBIG);
  EXPECT_EQ(writer.resize(UINT64_MAX), -EFBIG);
  EXPECT_EQ(writer.punch_hole({0, 100}), 0);
  EXPECT_EQ(writer.punch_hole({2999, 2}), -EINVAL);
  EXPECT_EQ(writer.resize(2000), 0);
  EXPECT_EQ(writer.size(), 2000U);
  std::vector<io::ByteRange> ranges;
  ASSERT_EQ(writer.data_ranges(ranges), 0);
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0].offset, 0U);
  EXPECT_EQ(ranges[0].length, 2000U);
}

TEST(TarTest, WhatIsNoArchiveIsTakenAsItIs) {
  EXPECT_EQ(layer_of({}), std::nullopt);
  EXPECT_EQ(layer_of(std::vector<std::byte>(511)), std::nullopt);
  EXPECT_EQ(layer_of(noise(5000, 1)), std::nullopt);
  std::vector<std::byte> archive;
  add(archive, "overlaybd.commit", '0', "content");
  expect_layer(archive, 512, 7);
  // As GNU tar marks its own format.
  std::vector<std::byte> gnu = archive;
  put(gnu, 257, std::string("ustar  \0", 8));
  set_sum(gnu, 0);
  EXPECT_EQ(layer_of(gnu), std::nullopt);
  archive[3] ^= std::byte{1};
  EXPECT_EQ(layer_of(archive), std::nullopt);
  const auto file = tar::unwrap(std::make_unique<MemoryFile>(archive));
  EXPECT_EQ(file->size(), archive.size());
}

TEST(TarTest, WhateverComesBeforeTheMemberIsFollowed) {
  std::vector<std::byte> archive;
  add(archive, "pax", 'g', record("comment=" + std::string(600, 'c')));
  add(archive, "././@LongLink", 'L', std::string(300, 'n'));
  add(archive, "pax", 'x', record("mtime=1") + record("size=9") + record("path=layer"));
  add(archive, "layer", '0', "contented", "00000000000");
  expect_layer(archive, archive.size() - 512, 9);
}

TEST(TarTest, APaxSizeOfTheMemberCountsBeforeAGlobalOneAndTheHeader) {
  std::vector<std::byte> archive;
  add(archive, "pax", 'g', record("size=3"));
  std::vector<std::byte> global = archive;
  add(global, "layer", '0', "contented");
  expect_layer(global, 1536, 3);
  add(archive, "pax", 'x', record("size=4"));
  add(archive, "layer", '0', "contented");
  expect_layer(archive, 2560, 4);
}

TEST(TarTest, HostileArchivesAreRefusedByName) {
  std::vector<std::byte> archive;
  add(archive, "layer", '0', "content", "77777777777");
  expect_refused(archive, "reaches past the end of the file");
  archive.clear();
  add(archive, "folder", '5', "");
  expect_refused(archive, "its type is 5");
  archive.clear();
  add(archive, "pax", 'x', "", "00010000000");
  expect_refused(archive, "announces 2097152 bytes");
  archive.clear();
  add(archive, "pax", 'x', "999999 size=5\n");
  expect_refused(archive, "malformed");
  archive.clear();
  add(archive, "pax", 'x', "9 size=5");
  expect_refused(archive, "malformed");
  archive.clear();
  add(archive, "pax", 'x', record("size=5x"));
  expect_refused(archive, "malformed");
  archive.clear();
  add(archive, "pax", 'x', record("size=18446744073709551615"));
  expect_refused(archive, "before its first member");
  add(archive, "layer", '0', "content");
  expect_refused(archive, "reaches past the end of the file");
  archive[1024] ^= std::byte{1};
  expect_refused(archive, "the tar header at 1024 has a wrong sum");
  archive.clear();
  add(archive, "layer", '0', "content", "0000000900");
  expect_refused(archive, "no number");
  archive.clear();
  for (int turn = 0; turn < 20; ++turn) add(archive, "pax", 'x', record("a=b"));
  expect_refused(archive, "more than 16 tar headers");
}

TEST(TarTest, NumbersAreReadInEveryFormTheyHave) {
  const auto parse = [](const std::string& field) {
    return tar::parse_number(std::as_bytes(std::span(field)));
  };
  EXPECT_EQ(parse("     14 "), 12U);
  EXPECT_EQ(parse("0000644"), 0644U);
  EXPECT_EQ(parse(std::string("12\0\0\0", 5)), 10U);
  EXPECT_EQ(parse(std::string(12, '\0')), 0U);
  EXPECT_EQ(parse("            "), 0U);
  EXPECT_EQ(parse(std::string("\x80\0\0\0\0\0\0\0\0\x01\x02\x03", 12)), 0x10203U);
  EXPECT_EQ(parse(std::string("\x80\0\0\0\x01\0\0\0\0\0\0\0", 12)), std::uint64_t{1} << 56);
  EXPECT_EQ(parse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), std::nullopt);
  EXPECT_EQ(parse(std::string("\x80\0\x01\0\0\0\0\0\0\0\0\0", 12)), std::nullopt);
  EXPECT_EQ(parse("12 3"), std::nullopt);
  EXPECT_EQ(parse("8"), std::nullopt);
  EXPECT_EQ(parse("-1"), std::nullopt);
}

}  // namespace

}  // namespace varve::test
