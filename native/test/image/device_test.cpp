// An image as a block device: what is written reads back, also after opening it again.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <random>

#include "test/image/fixture_image.h"

namespace varve::test {

namespace {

constexpr std::uint64_t kDisk = std::uint64_t{8} << 20;

std::uint64_t blocks_of(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

Bytes content_of(image::Image& image) {
  Bytes bytes(image.size());
  EXPECT_EQ(image.read(bytes, 0), 0);
  return bytes;
}

class ImageDevice : public ImageTestCase, public ::testing::WithParamInterface<bool> {
 protected:
  // On the golden stack of three, whose size it takes.
  std::string make_config() const {
    copy_fixture("tar");
    create_upper(0, GetParam());
    return R"({"lowers": [{"file": "stack3/layer0.lz4"}, {"file": "stack3/layer1.lsmt"},
                          {"file": "stack3/layer2.zstd.tar"}], )" +
           upper_json() + "}";
  }
};

TEST_P(ImageDevice, HoldsWhatAModelHolds) {
  const std::string config = make_config();
  auto image = open_text(config);
  Bytes model = content_of(*image);
  std::mt19937_64 random(7);
  const std::uint64_t sectors = image->size() / 512;
  for (unsigned round = 0; round < 3000; ++round) {
    const std::uint64_t first = random() % sectors;
    const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(sectors - first, 200);
    const std::uint64_t offset = first * 512;
    const std::uint64_t length = count * 512;
    const auto place = model.begin() + static_cast<std::ptrdiff_t>(offset);
    const unsigned kind = static_cast<unsigned>(random() % 8);
    if (kind < 4) {
      const Bytes bytes(length, static_cast<std::byte>(random()));
      ASSERT_EQ(image->write(bytes, offset), 0);
      std::copy(bytes.begin(), bytes.end(), place);
    } else if (kind < 7) {
      ASSERT_EQ(kind == 4 ? image->write_zeroes(offset, length) : image->discard(offset, length),
                0);
      std::fill_n(place, length, std::byte{0});
    } else {
      Bytes bytes(length);
      ASSERT_EQ(image->read(bytes, offset), 0);
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), place));
    }
    if (round % 500 == 499) {
      ASSERT_EQ(image->flush(), 0);
      image.reset();
      image = open_text(config);
      ASSERT_TRUE(content_of(*image) == model) << round;
    }
  }
}

TEST_P(ImageDevice, RefusesToBeWrittenWhenItIsOpenedReadOnly) {
  const std::string config = make_config();
  {
    const auto image = open_text(config);
    ASSERT_EQ(image->write(Bytes(512, std::byte{9}), 512), 0);
  }
  image::OpenOptions options;
  options.is_read_only = true;
  const auto image = open_text(config, options);
  EXPECT_FALSE(image->is_writable());
  EXPECT_EQ(content_of(*image)[512], std::byte{9});
  EXPECT_EQ(image->write(Bytes(512), 0), -EROFS);
  EXPECT_EQ(image->discard(0, 512), -EROFS);
  EXPECT_EQ(image->write_zeroes(0, 512), -EROFS);
  EXPECT_EQ(image->flush(), 0);
}

TEST_P(ImageDevice, TakesNoWritesOnceItIsSealedAndReadsOn) {
  const std::string config = make_config();
  const auto image = open_text(config);
  ASSERT_EQ(image->write(Bytes(512, std::byte{9}), 512), 0);
  const Bytes before = content_of(*image);
  image->writable()->upper().seal();
  EXPECT_EQ(image->write(Bytes(512), 0), -EROFS);
  EXPECT_EQ(image->discard(0, 512), -EROFS);
  EXPECT_EQ(image->write_zeroes(0, 512), -EROFS);
  EXPECT_TRUE(content_of(*image) == before);
  // What was sealed is a lower layer like any other.
  const auto sealed = open_text(R"({"lowers": [{"file": "stack3/layer0.lz4"},
      {"file": "stack3/layer1.lsmt"}, {"file": "stack3/layer2.zstd.tar"}, {"file": "data"}]})");
  EXPECT_TRUE(content_of(*sealed) == before);
}

TEST_P(ImageDevice, ShowsItsNewSize) {
  const std::string config = make_config();
  auto image = open_text(config);
  const std::uint64_t size = image->size();
  ASSERT_EQ(image->writable()->upper().resize(size + 1000), 0);
  EXPECT_EQ(image->size(), size + 512);
  EXPECT_EQ(image->disk().size(), size + 1000);
  image.reset();
  EXPECT_EQ(open_text(config)->size(), size + 512);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ImageDevice, ::testing::Bool(), [](const auto& one) {
  return one.param ? "Sparse" : "AppendOnly";
});

using SparseImage = ImageTestCase;

TEST_F(SparseImage, ADiscardGivesSpaceBackAndZeroesKeepIt) {
  create_upper(kDisk, true);
  const auto image = open_text("{" + upper_json() + "}");
  ASSERT_EQ(image->write(Bytes(kDisk, std::byte{1}), 0), 0);
  ASSERT_EQ(image->flush(), 0);
  const std::uint64_t full = blocks_of(at("data"));
  ASSERT_GE(full, kDisk);
  ASSERT_EQ(image->write_zeroes(0, kDisk / 2), 0);
  ASSERT_EQ(image->flush(), 0);
  EXPECT_EQ(blocks_of(at("data")), full);
  ASSERT_EQ(image->discard(kDisk / 2, kDisk / 2), 0);
  ASSERT_EQ(image->flush(), 0);
  EXPECT_LE(blocks_of(at("data")), full - kDisk / 4);
  EXPECT_TRUE(content_of(*image) == Bytes(kDisk));
}

TEST_F(SparseImage, ZeroesTakeTheSpaceThatALaterWriteNeeds) {
  create_upper(kDisk, true);
  const auto image = open_text("{" + upper_json() + "}");
  ASSERT_EQ(image->write_zeroes(0, kDisk / 2), 0);
  const std::uint64_t index = std::filesystem::file_size(at("index"));
  EXPECT_GE(blocks_of(at("data")), kDisk / 2);
  const std::uint64_t before = blocks_of(at("data"));
  ASSERT_EQ(image->write(Bytes(kDisk / 2, std::byte{3}), 0), 0);
  ASSERT_EQ(image->flush(), 0);
  EXPECT_EQ(blocks_of(at("data")), before);
  EXPECT_EQ(std::filesystem::file_size(at("index")), index);
}

}  // namespace

}  // namespace varve::test
