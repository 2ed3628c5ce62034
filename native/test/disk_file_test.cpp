#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <vector>

#include "io/file.h"
#include "io/slice_file.h"
#include "test/layer_fixtures.h"
#include "test/temporary_directory.h"

namespace varve::test {

namespace {

class DiskFileTest : public TemporaryDirectory {
 protected:
  // The errno with which opening is refused, 0 if it is not.
  static int opening(const std::string& path) {
    try {
      static_cast<void>(io::open_file(path));
      return 0;
    } catch (const io::FormatError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      return error.error();
    }
  }
};

TEST_F(DiskFileTest, ReadsAnyRangeInsideAndNoneThatReachesOut) {
  write_file("file", "0123456789");
  const auto file = io::open_file(at("file"));
  EXPECT_EQ(file->size(), 10U);
  EXPECT_EQ(file->name(), at("file"));
  std::array<std::byte, 4> bytes = {};
  EXPECT_EQ(file->read(bytes, 6), 0);
  EXPECT_EQ(bytes[0], std::byte{'6'});
  EXPECT_EQ(bytes[3], std::byte{'9'});
  EXPECT_EQ(file->read(bytes, 7), -EINVAL);
  EXPECT_EQ(file->read(bytes, UINT64_MAX - 1), -EINVAL);
  EXPECT_EQ(file->read({}, 10), 0);
  EXPECT_EQ(file->read({}, 11), -EINVAL);
}

TEST_F(DiskFileTest, AFileThatBecameShorterIsAnError) {
  write_file("file", "0123456789");
  const auto file = io::open_file(at("file"));
  ASSERT_EQ(::truncate(at("file").c_str(), 5), 0);
  std::array<std::byte, 4> bytes = {};
  EXPECT_EQ(file->read(bytes, 0), 0);
  EXPECT_EQ(file->read(bytes, 3), -EIO);
}

TEST_F(DiskFileTest, RefusesWhatIsNoFileWithoutWaiting) {
  make_directory("directory");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(opening(at("absent")), ENOENT);
  EXPECT_EQ(opening(at("directory")), EINVAL);
  EXPECT_EQ(opening(at("pipe")), EINVAL);
}

TEST_F(DiskFileTest, WritesGrowTheFileAndCanBeReadAtOnce) {
  const auto file = io::open_writable_file(at("new"), true);
  const std::vector<std::byte> content = noise(10'000, 1);
  EXPECT_EQ(file->write(content, 5000), 0);
  EXPECT_EQ(file->size(), 15'000U);
  std::vector<std::byte> back(10'000);
  EXPECT_EQ(file->read(back, 5000), 0);
  EXPECT_EQ(back, content);
  EXPECT_EQ(file->resize(6000), 0);
  EXPECT_EQ(file->size(), 6000U);
  EXPECT_EQ(file->read(back, 0), -EINVAL);
  EXPECT_EQ(file->write(content, UINT64_MAX - 5), -EFBIG);
  EXPECT_EQ(file->sync(), 0);
  EXPECT_THROW(static_cast<void>(io::open_writable_file(at("new"), true)), io::FormatError);
  EXPECT_EQ(io::open_writable_file(at("new"), false)->size(), 6000U);
}

TEST_F(DiskFileTest, APunchedHoleReadsAsZerosAndIsNoData) {
  constexpr std::uint64_t kPiece = 1 << 20;
  const auto file = io::open_writable_file(at("sparse"), true);
  EXPECT_EQ(file->write(noise(3 * kPiece, 2), 0), 0);
  EXPECT_EQ(file->resize(8 * kPiece), 0);
  EXPECT_EQ(file->punch_hole({kPiece, kPiece}), 0);
  EXPECT_EQ(file->size(), 8 * kPiece);
  std::vector<std::byte> back(kPiece);
  EXPECT_EQ(file->read(back, kPiece), 0);
  EXPECT_EQ(back, std::vector<std::byte>(kPiece));
  std::vector<io::ByteRange> ranges;
  ASSERT_EQ(file->data_ranges(ranges), 0);
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].offset, 0U);
  EXPECT_EQ(ranges[0].length, kPiece);
  EXPECT_EQ(ranges[1].offset, 2 * kPiece);
  EXPECT_EQ(ranges[1].length, kPiece);
  EXPECT_EQ(file->punch_hole({8 * kPiece, 1}), -EINVAL);
}

TEST_F(DiskFileTest, AnEmptyFileHasNoData) {
  const auto file = io::open_writable_file(at("empty"), true);
  std::vector<io::ByteRange> ranges = {{1, 2}};
  EXPECT_EQ(file->data_ranges(ranges), 0);
  EXPECT_TRUE(ranges.empty());
}

TEST_F(DiskFileTest, ADescriptorThatIsTakenOverMayDoWhatItWasOpenedFor) {
  write_file("file", "0123456789");
  const auto file = io::adopt_file(::open(at("file").c_str(), O_RDONLY | O_CLOEXEC), "called");
  EXPECT_EQ(file->size(), 10U);
  EXPECT_EQ(file->name(), "called");
  std::array<std::byte, 4> bytes = {};
  EXPECT_EQ(file->read(bytes, 6), 0);
  EXPECT_EQ(bytes[0], std::byte{'6'});
  EXPECT_EQ(file->write(bytes, 0), -EBADF);
}

TEST_F(DiskFileTest, ADescriptorThatIsRefusedIsClosed) {
  make_directory("directory");
  const int descriptor = ::open(at("directory").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_THROW(static_cast<void>(io::adopt_file(descriptor, "called")), io::FormatError);
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

TEST_F(DiskFileTest, ASliceIsAFileThatEndsWhereItEnds) {
  write_file("file", "0123456789");
  const auto slice = io::open_slice(io::open_file(at("file")), {2, 5}, "part");
  EXPECT_EQ(slice->size(), 5U);
  EXPECT_EQ(slice->name(), "part");
  std::array<std::byte, 3> bytes = {};
  EXPECT_EQ(slice->read(bytes, 2), 0);
  EXPECT_EQ(bytes[0], std::byte{'4'});
  EXPECT_EQ(slice->read(bytes, 3), -EINVAL);
  EXPECT_THROW(static_cast<void>(io::open_slice(io::open_file(at("file")), {6, 5}, "part")),
               io::FormatError);
  EXPECT_THROW(
      static_cast<void>(io::open_slice(io::open_file(at("file")), {1, UINT64_MAX}, "part")),
      io::FormatError);
}

}  // namespace

}  // namespace varve::test
