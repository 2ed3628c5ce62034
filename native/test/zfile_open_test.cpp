// What describes a ZFile is checked before it is used.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "io/bytes.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "test/refusal.h"
#include "zfile/reader.h"
#include "zfile/writer.h"

namespace varve::test {

namespace {

using zfile::Header;
using zfile::HeaderBytes;
using zfile::kHeaderSize;

std::vector<std::byte> written(std::size_t length, const zfile::WriteOptions& options) {
  const MemoryFile source(some_content(length, 1));
  MemoryFile target;
  zfile::WriteSummary summary;
  EXPECT_EQ(zfile::compress(source, target, options, summary), 0);
  return target.content();
}

std::span<std::byte, kHeaderSize> header_in(std::vector<std::byte>& file) {
  return std::span(file).first<kHeaderSize>();
}
std::span<std::byte, kHeaderSize> trailer_in(std::vector<std::byte>& file) {
  return std::span(file).last<kHeaderSize>();
}

// Alters fields and makes the digest right again, as someone would who means harm.
void alter(std::span<std::byte, kHeaderSize> bytes, const std::function<void(Header&)>& change) {
  Header header = zfile::parse_header(bytes);
  change(header);
  const HeaderBytes altered = zfile::format_header(header);
  std::copy(altered.begin(), altered.end(), bytes.begin());
}

// Why a file is refused; empty if it is not.
std::string refusal(std::vector<std::byte> bytes) {
  try {
    const zfile::ZFile file(std::make_unique<MemoryFile>(std::move(bytes)), nullptr);
    return {};
  } catch (const io::FormatError& error) {
    return error.what();
  }
}

void expect_refused(const std::vector<std::byte>& bytes, const std::string& reason) {
  const std::string why = refusal(bytes);
  EXPECT_NE(why.find(reason), std::string::npos) << "refused with: " << why;
}

constexpr zfile::WriteOptions kByHeader = {.threads = 1};
constexpr zfile::WriteOptions kByTrailer = {.is_header_final = false, .threads = 1};

TEST(ZFileOpenTest, EveryHostileFieldIsRefusedByName) {
  const struct {
    std::function<void(Header&)> change;
    const char* reason;
  } cases[] = {
      {[](Header& header) { header.block_size = 0; }, "block size 0"},
      {[](Header& header) { header.block_size = 4095; }, "block size 4095"},
      {[](Header& header) { header.block_size = 256; }, "block size 256"},
      {[](Header& header) { header.block_size = 1U << 31; }, "block size 2147483648"},
      {[](Header& header) { header.algorithm = 0; }, "algorithm 0"},
      {[](Header& header) { header.algorithm = 3; }, "algorithm 3"},
      {[](Header& header) { header.has_sums = 2; }, "mark for checksums is 2"},
      {[](Header& header) { header.flags |= zfile::flags::compressed_index; },
       "index is compressed"},
      {[](Header& header) { header.original_size += 1U << 20; }, "blocks, but its index has"},
      {[](Header& header) { header.original_size = UINT64_MAX; }, "blocks, but its index has"},
      {[](Header& header) { header.block_count -= 1; }, "blocks, but its index has"},
      {[](Header& header) { header.index_offset = UINT64_MAX - 3; }, "its index begins at"},
      {[](Header& header) { header.index_offset = 511; }, "its index begins at"},
      {[](Header& header) { header.dictionary_size = UINT32_MAX; }, "its index begins at"},
      {[](Header& header) { header.dictionary_size = 8; }, "reaches past"},
      {[](Header& header) { header.index_sum ^= 1; }, "index's checksum is 0x"},
      {[](Header& header) {
         header.original_size = std::uint64_t{1} << 62;
         header.block_count = header.original_size / header.block_size;
       },
       "reaches past"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.reason);
    std::vector<std::byte> by_header = written(50'000, kByHeader);
    alter(header_in(by_header), one.change);
    expect_refused(by_header, one.reason);
    std::vector<std::byte> by_trailer = written(50'000, kByTrailer);
    alter(trailer_in(by_trailer), one.change);
    expect_refused(by_trailer, one.reason);
  }
}

// How a file was read; it outlives the file.
struct Reads {
  std::size_t most = 0;  // bytes at once
  std::uint64_t all = 0;
};

// A file of holes that says it has blocks without end: the lengths of all of them are zero.
class EndlessIndex final : public io::File {
 public:
  EndlessIndex(std::uint64_t block_count, std::uint64_t flags, Reads& reads) : reads_(reads) {
    Header header;
    header.flags = zfile::flags::header | zfile::flags::data_file | zfile::flags::sealed |
                   zfile::flags::header_is_final | flags;
    header.index_offset = header.data_offset();
    header.block_count = block_count;
    header.original_size = block_count * header.block_size;
    header_ = zfile::format_header(header);
    size_ = header.index_offset + block_count * sizeof(std::uint32_t);
  }

  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    reads_.most = std::max(reads_.most, destination.size());
    reads_.all += destination.size();
    std::ranges::fill(destination, std::byte{0});
    if (offset == 0) std::copy_n(header_.begin(), destination.size(), destination.begin());
    return 0;
  }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  Reads& reads_;
  HeaderBytes header_{};
  std::uint64_t size_ = 0;
  std::string name_ = "endless";
};

TEST(ZFileOpenTest, AHugeIndexTakesNoMoreMemoryThanWhatItHolds) {
  constexpr std::uint64_t kBlocks = 4'000'000;
  for (const std::uint64_t flags : {std::uint64_t{0}, std::uint64_t{zfile::flags::has_digest}}) {
    SCOPED_TRACE(flags);
    Reads reads;
    EXPECT_NE(refusal_of([&] {
                const zfile::ZFile file(std::make_unique<EndlessIndex>(kBlocks, flags, reads),
                                        nullptr);
              }),
              "");
    EXPECT_LE(reads.most, std::size_t{1} << 20);
    // Only a checksum of all of it needs all of it.
    EXPECT_LE(reads.all, flags == 0 ? std::uint64_t{2} << 20 : kBlocks * 4 + kHeaderSize * 2);
  }
}

TEST(ZFileOpenTest, AnIndexOfMoreBlocksThanAreReadAtOnceHasEachOfThem) {
  const std::vector<std::byte> content = some_content(std::size_t{320'000} * 512, 3);
  const MemoryFile source(content);
  MemoryFile target;
  zfile::WriteSummary summary;
  ASSERT_EQ(zfile::compress(source, target, {.block_size = 512}, summary), 0);
  const zfile::ZFile file(std::make_unique<MemoryFile>(target.content()), nullptr);
  std::vector<std::byte> read(content.size());
  ASSERT_EQ(file.read(read, 0), 0);
  EXPECT_TRUE(read == content);
}

TEST(ZFileOpenTest, ADamagedDigestIsRefusedWithBothSums) {
  std::vector<std::byte> bytes = written(50'000, kByTrailer);
  trailer_in(bytes)[100] ^= std::byte{1};
  expect_refused(bytes, "trailer's digest is 0x");
  bytes = written(50'000, kByHeader);
  header_in(bytes)[511] ^= std::byte{1};
  expect_refused(bytes, "header's digest is 0x");
  // The trailer does not count where the header is final.
  bytes = written(50'000, kByHeader);
  trailer_in(bytes)[100] ^= std::byte{1};
  EXPECT_EQ(refusal(bytes), "");
}

TEST(ZFileOpenTest, LengthsInTheIndexAreCheckedOneByOne) {
  for (const std::uint32_t length : {0U, 4U, 4096U + 512U + 5U, UINT32_MAX}) {
    std::vector<std::byte> bytes = written(50'000, kByHeader);
    const Header header = zfile::parse_header(header_in(bytes));
    io::store(bytes.data() + header.index_offset + 4 * 3, length);
    // Without the digest's flag nothing vouches for the index.
    alter(header_in(bytes), [](Header& one) { one.flags &= ~zfile::flags::has_digest; });
    expect_refused(bytes, "block 3 is " + std::to_string(length) + " bytes long");
  }
  std::vector<std::byte> bytes = written(50'000, kByHeader);
  const Header header = zfile::parse_header(header_in(bytes));
  io::store(bytes.data() + header.index_offset + 4 * 3, std::uint32_t{4608});
  alter(header_in(bytes), [](Header& one) { one.flags &= ~zfile::flags::has_digest; });
  expect_refused(bytes, "reaches past " + std::to_string(header.index_offset));
}

TEST(ZFileOpenTest, EveryTruncationIsRefusedOrHarmless) {
  for (const zfile::WriteOptions& options : {kByHeader, kByTrailer}) {
    const std::vector<std::byte> sound = written(20'000, options);
    const std::vector<std::byte> content =
        read_all(zfile::ZFile(std::make_unique<MemoryFile>(sound), nullptr));
    for (std::size_t length = 0; length < sound.size(); ++length) {
      std::vector<std::byte> cut(sound.begin(),
                                 sound.begin() + static_cast<std::ptrdiff_t>(length));
      try {
        const zfile::ZFile file(std::make_unique<MemoryFile>(std::move(cut)), nullptr);
        // Only the trailer is missing, which a final header makes superfluous.
        EXPECT_GE(length, sound.size() - kHeaderSize);
        EXPECT_EQ(read_all(file), content);
      } catch (const io::FormatError&) {
        continue;
      }
    }
  }
}

TEST(ZFileOpenTest, FilesOfOldWritersWithRubbishInTheHeaderAreRead) {
  const std::vector<std::byte> sound = written(30'000, kByTrailer);
  const std::vector<std::byte> content =
      read_all(zfile::ZFile(std::make_unique<MemoryFile>(sound), nullptr));
  // As that writer left them: flags above bit 5, no digest, rubbish where there was no value yet.
  constexpr std::uint64_t kRubbish = 0x7ffea4640b40;
  std::vector<std::byte> bytes = sound;
  alter(header_in(bytes), [](Header& header) {
    header.flags = kRubbish | zfile::flags::header | zfile::flags::data_file;
    header.index_offset = 0x5555555;
    header.block_count = UINT64_MAX;
    header.original_size = UINT64_MAX;
    header.index_sum = 0x1234567;
  });
  io::store(bytes.data() + 28, std::uint32_t{0xDEADBEEF});
  io::store(bytes.data() + 200, std::uint64_t{0xDEADBEEF});
  alter(trailer_in(bytes), [](Header& header) {
    header.flags = kRubbish | zfile::flags::data_file | zfile::flags::sealed;
    header.index_sum ^= 0x55;
  });
  io::store(bytes.data() + bytes.size() - kHeaderSize + 28, std::uint32_t{0xDEADBEEF});
  EXPECT_EQ(read_all(zfile::ZFile(std::make_unique<MemoryFile>(bytes), nullptr)), content);
}

TEST(ZFileOpenTest, WhatIsNoZFileIsToldApartFromADamagedOne) {
  EXPECT_FALSE(zfile::is_zfile(MemoryFile(noise(4096, 1))));
  EXPECT_FALSE(zfile::is_zfile(MemoryFile(std::vector<std::byte>(511))));
  std::vector<std::byte> bytes = written(5000, kByHeader);
  EXPECT_TRUE(zfile::is_zfile(MemoryFile(bytes)));
  bytes[72] ^= std::byte{1};
  EXPECT_THROW(static_cast<void>(zfile::is_zfile(MemoryFile(bytes))), io::FormatError);
  // A trailer is not where a header has to be.
  std::vector<std::byte> trailer = written(5000, kByHeader);
  trailer.erase(trailer.begin(), trailer.end() - kHeaderSize);
  EXPECT_FALSE(zfile::is_zfile(MemoryFile(trailer)));
}

}  // namespace

}  // namespace varve::test
