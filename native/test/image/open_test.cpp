// Opening images: where layers are found, how many at once, and what is said of those that fail.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "image/parallel.h"
#include "lsmt/layer_writer.h"
#include "test/image/fixture_image.h"

namespace varve::test {

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::size_t kDisk = 64 * 1024;

// A finished layer whose first sector, or that with the number `sector`, is full of `with`.
Bytes layer_of(unsigned char with, std::uint64_t sector = 0) {
  Bytes bytes;
  lsmt::LayerOptions options;
  options.virtual_size = kDisk;
  class Filled final : public io::File {
   public:
    explicit Filled(unsigned char value) : value_(value) {}
    [[nodiscard]] std::uint64_t size() const noexcept override { return kDisk; }
    [[nodiscard]] const std::string& name() const noexcept override { return name_; }
    [[nodiscard]] int read(std::span<std::byte> destination,
                           std::uint64_t /*offset*/) const noexcept override {
      std::fill(destination.begin(), destination.end(), static_cast<std::byte>(value_));
      return 0;
    }

   private:
    unsigned char value_;
    std::string name_ = "filled";
  } const filled(with);
  lsmt::MappingArray mappings(1);
  mappings.push_back(lsmt::Mapping::data({sector, 1}, 8));
  lsmt::write_layer(
      mappings, [&](unsigned) -> const io::File& { return filled; }, options,
      [&](std::span<const std::byte> more) {
        bytes.insert(bytes.end(), more.begin(), more.end());
        return 0;
      });
  return bytes;
}

unsigned byte_at(image::Image& image, std::uint64_t sector = 0) {
  Bytes bytes(512);
  EXPECT_EQ(image.read(bytes, sector * 512), 0);
  return std::to_integer<unsigned>(bytes.front());
}

class ImageOpenTest : public ImageTestCase {
 protected:
  // `count` layers named 0, 1, ..., each with its own sector full of its number.
  std::vector<std::string> write_layers(std::size_t count) const {
    std::vector<std::string> names;
    for (std::size_t at = 0; at < count; ++at) {
      names.push_back(std::to_string(at));
      write_bytes(this->at(names.back()), layer_of(static_cast<unsigned char>(at), at % 128));
    }
    return names;
  }
};

TEST_F(ImageOpenTest, TheFirstOfTheKnownPlacesCounts) {
  fs::create_directory(at("dir"));
  const std::vector<std::string> places = {"file", "dir/overlaybd.commit", "dir/.commit",
                                           "dir/overlaybd.sealed"};
  for (std::size_t place = 0; place < places.size(); ++place) {
    write_bytes(at(places[place]), layer_of(static_cast<unsigned char>(place + 1)));
  }
  // Partly downloaded: no layer.
  write_bytes(at("dir/.download"), layer_of(99));
  const std::string config = R"({"lowers": [{"file": "file", "dir": "dir"}]})";
  for (std::size_t place = 0; place < places.size(); ++place) {
    const auto image = open_text(config);
    EXPECT_EQ(byte_at(*image), place + 1);
    EXPECT_EQ(image->layers()[0].file.name, at(places[place]));
    fs::remove(at(places[place]));
  }
  EXPECT_NE(refusal_of([&] { open_text(config); }).find("config: lowers[0]: there is no layer at"),
            std::string::npos);
}

TEST_F(ImageOpenTest, WithoutADirectoryNothingIsLookedForInOne) {
  write_bytes(at("overlaybd.commit"), layer_of(1));
  EXPECT_FALSE(image::find_local_file({}, path()));
  EXPECT_TRUE(image::find_local_file({"", path(), "", 0}, ""));
}

TEST_F(ImageOpenTest, ARelativePathNeedsAFolder) {
  const image::ImageConfig config =
      image::parse_image_config(R"({"lowers": [{"file": "layer"}]})", "config");
  EXPECT_EQ(refusal_of([&] { image::Image::open(config); }),
            "config: lowers[0]: layer: is a relative path; an absolute one is needed here");
}

TEST_F(ImageOpenTest, WhatIsNoLayerIsRefusedByItsName) {
  write_bytes(at("empty"), {});
  write_bytes(at("text"), Bytes(20000, std::byte{'x'}));
  fs::create_directory(at("folder"));
  const std::pair<const char*, const char*> cases[] = {
      {"empty", ": too short for a layer's data"},
      {"text", ": not a layer's data: the magic bytes are missing"},
      {"folder", ": is not a regular file"}};
  for (const auto& [name, defect] : cases) {
    EXPECT_EQ(refusal_of([&] { open_text(config_of({name})); }),
              "config: lowers[0]: " + at(name) + defect);
  }
}

// One file, whatever is asked for.
class Blobs final : public image::BlobSource {
 public:
  std::unique_ptr<const io::File> open(const image::BlobReference& blob) override {
    const std::unique_lock lock(mutex_);
    asked.push_back(blob);
    return io::open_file(file);
  }
  std::string file;
  std::vector<image::BlobReference> asked;

 private:
  std::mutex mutex_;
};

TEST_F(ImageOpenTest, ALayerThatIsOnlyRemoteNeedsSomeoneToAsk) {
  const std::string config =
      R"({"repoBlobUrl": "https://r/v2/a/blobs", "lowers":
          [{"dir": "none", "digest": "sha256:ab", "size": 77}]})";
  EXPECT_TRUE(refusal_of([&] { open_text(config); })
                  .starts_with("config: lowers[0]: sha256:ab: the layer is not on this machine"));
  write_bytes(at("blob"), layer_of(5));
  Blobs blobs;
  blobs.file = at("blob");
  image::OpenOptions options;
  options.blobs = &blobs;
  EXPECT_EQ(byte_at(*open_text(config, options)), 5U);
  ASSERT_EQ(blobs.asked.size(), 1U);
  EXPECT_EQ(blobs.asked[0].repository_url, "https://r/v2/a/blobs");
  EXPECT_EQ(blobs.asked[0].digest, "sha256:ab");
  EXPECT_EQ(blobs.asked[0].size, 77U);
  EXPECT_NE(refusal_of([&] {
              open_text(R"({"lowers": [{"digest": "sha256:ab"}]})", options);
            }).find("empty repoBlobUrl"),
            std::string::npos);
  EXPECT_NE(refusal_of([&] { open_text(R"({"lowers": [{}]})", options); })
                .find("names no file, no dir and no digest"),
            std::string::npos);
}

TEST_F(ImageOpenTest, AFileThatCannotBeOpenedIsAskedForADamagedOneIsNot) {
  write_bytes(at("blob"), layer_of(5));
  Blobs blobs;
  blobs.file = at("blob");
  image::OpenOptions options;
  options.blobs = &blobs;
  const std::string config =
      R"({"repoBlobUrl": "https://r", "lowers": [{"file": "local", "digest": "sha256:ab"}]})";
  fs::create_directory(at("local"));
  EXPECT_EQ(byte_at(*open_text(config, options)), 5U);
  EXPECT_NE(refusal_of([&] { open_text(config); }), "");
  fs::remove(at("local"));
  write_bytes(at("local"), Bytes(10000));
  EXPECT_NE(refusal_of([&] { open_text(config, options); }), "");
}

TEST_F(ImageOpenTest, AStackHasUpTo255Layers) {
  std::vector<std::string> names = write_layers(255);
  const auto image = open_text(config_of(names));
  ASSERT_EQ(image->layers().size(), 255U);
  // Sectors 0 to 126 were written twice.
  for (std::uint64_t sector = 0; sector < 128; ++sector) {
    EXPECT_EQ(byte_at(*image, sector), sector < 127 ? sector + 128 : sector);
  }
  names.push_back("0");
  EXPECT_NE(refusal_of([&] { open_text(config_of(names)); }).find("at most 255"),
            std::string::npos);
  image::ImageConfig config = image::parse_image_config(config_of({"0"}), "config");
  config.lowers.resize(256, config.lowers[0]);
  image::OpenOptions options;
  options.folder = path();
  EXPECT_EQ(refusal_of([&] { image::Image::open(config, options); }),
            "config: lowers: has 256 layers, a stack has at most 255");
}

TEST_F(ImageOpenTest, TheLowestLayerThatFailsIsNamed) {
  const std::vector<std::string> names = write_layers(40);
  for (const std::size_t damaged : {7U, 8U, 31U}) write_bytes(at(names[damaged]), {});
  for (unsigned round = 0; round < 20; ++round) {
    EXPECT_EQ(refusal_of([&] { open_text(config_of(names)); }),
              "config: lowers[7]: " + at("7") + ": too short for a layer's data");
  }
}

// Each waits until all four are under way, which they are only if they are at once.
TEST(ParallelTest, ActionsRunAtOnceButNoMoreThanAllowed) {
  constexpr unsigned kThreads = 4;
  std::mutex mutex;
  std::condition_variable changed;
  unsigned begun = 0;
  unsigned running = 0;
  unsigned most = 0;
  image::for_each_parallel(40, kThreads, [&](std::size_t) {
    std::unique_lock lock(mutex);
    ++begun;
    most = std::max(most, ++running);
    changed.notify_all();
    EXPECT_TRUE(changed.wait_for(lock, 60s, [&] { return begun >= kThreads; }));
    --running;
  });
  EXPECT_EQ(begun, 40U);
  EXPECT_EQ(most, kThreads);
}

TEST(ParallelTest, TheFailureOfTheLowestNumberCountsWhicheverCameFirst) {
  std::mutex mutex;
  std::condition_variable changed;
  bool has_second_failed = false;
  try {
    image::for_each_parallel(2, 2, [&](std::size_t at) {
      std::unique_lock lock(mutex);
      if (at == 0) {
        EXPECT_TRUE(changed.wait_for(lock, 60s, [&] { return has_second_failed; }));
        lock.unlock();
        // Until the other one's exception has arrived, most likely; the outcome is the same.
        std::this_thread::sleep_for(10ms);
      } else {
        has_second_failed = true;
        changed.notify_all();
      }
      throw io::FormatError(5, std::to_string(at));
    });
    FAIL();
  } catch (const io::FormatError& error) {
    EXPECT_STREQ(error.what(), "0");
  }
}

TEST(ParallelTest, NothingIsBegunAfterAFailure) {
  std::atomic<unsigned> begun = 0;
  EXPECT_THROW(image::for_each_parallel(100, 1,
                                        [&](std::size_t at) {
                                          ++begun;
                                          if (at == 5) throw io::FormatError(5, "five");
                                        }),
               io::FormatError);
  EXPECT_EQ(begun, 6U);
}

TEST_F(ImageOpenTest, LayersAreDescribed) {
  copy_fixture("tar");
  const auto image = open(at("stack3") + "/config.v1.json");
  ASSERT_EQ(image->layers().size(), 3U);
  const auto& lz4 = image->layers()[0];
  EXPECT_FALSE(lz4.file.tar_member);
  ASSERT_TRUE(lz4.file.zfile);
  EXPECT_EQ(lz4.file.zfile->algorithm, 1);
  EXPECT_EQ(lz4.file.file_bytes, fs::file_size(fixture_path("stack3/layer0.lz4")));
  EXPECT_FALSE(image->layers()[1].file.zfile);
  const auto& zstd = image->layers()[2];
  ASSERT_TRUE(zstd.file.tar_member);
  EXPECT_EQ(zstd.file.tar_member->offset, 1536U);
  ASSERT_TRUE(zstd.file.zfile);
  EXPECT_EQ(zstd.file.zfile->algorithm, 2);
  EXPECT_EQ(zstd.trailer->virtual_size, image->size());
  EXPECT_GT(zstd.mapping_count, 0U);
  EXPECT_FALSE(zstd.is_writable);
  EXPECT_EQ(image->writable(), nullptr);
}

TEST_F(ImageOpenTest, AnUpperLayerMustBeThereAndIsNotMade) {
  const std::string config = "{" + upper_json() + "}";
  EXPECT_EQ(refusal_of([&] { open_text(config); }),
            "config: upper: " + at("data") + ": No such file or directory");
  EXPECT_FALSE(exists("data"));
  create_upper(kDisk, false);
  fs::remove(at("index"));
  EXPECT_EQ(refusal_of([&] { open_text(config); }),
            "config: upper: " + at("index") + ": No such file or directory");
  EXPECT_FALSE(exists("index"));
}

TEST_F(ImageOpenTest, AnUpperLayerIsOneDevicesAlone) {
  create_upper(kDisk, false);
  const std::string config = "{" + upper_json() + "}";
  auto first = open_text(config);
  EXPECT_EQ(refusal_of([&] { open_text(config); }),
            "config: upper: " + at("data") +
                ": is in use as the writable layer of another device, or a command works on it");
  first.reset();
  EXPECT_TRUE(open_text(config)->is_writable());
}

TEST_F(ImageOpenTest, AnUpperLayerWithoutASizeNeedsALayerBelow) {
  create_upper(0, false);
  EXPECT_EQ(refusal_of([&] { open_text("{" + upper_json() + "}"); }),
            "config: upper: " + at("data") + ": no layer says a virtual size");
}

TEST_F(ImageOpenTest, AnIndexFileIsOneDevicesAlone) {
  create_upper(kDisk, false);
  fs::copy(at("data"), at("other"));
  const auto first = open_text("{" + upper_json() + "}");
  EXPECT_EQ(refusal_of([&] { open_text(R"({"upper": {"data": "other", "index": "index"}})"); }),
            "config: upper: " + at("index") +
                ": is in use as the writable layer of another device, or a command works on it");
}

TEST_F(ImageOpenTest, AnIndexFileIsNoDataFile) {
  create_upper(kDisk, false);
  fs::create_symlink("data", at("link"));
  EXPECT_EQ(refusal_of([&] { open_text(R"({"upper": {"data": "data", "index": "link"}})"); }),
            "config: upper: " + at("link") + ": is the data file " + at("data") +
                " under another name; a writable layer has an index file of its own");
}

TEST_F(ImageOpenTest, AnIndexFileOfAnotherLayerIsRefused) {
  create_upper(kDisk, false);
  fs::rename(at("data"), at("data1"));
  fs::rename(at("index"), at("index1"));
  create_upper(kDisk, false);
  EXPECT_TRUE(refusal_of([&] { open_text(R"({"upper": {"data": "data", "index": "index1"}})"); })
                  .starts_with("config: upper: " + at("index1") +
                               ": belongs to another data file than " + at("data") + ": its uuid"));
}

TEST_F(ImageOpenTest, ReadOnlyImagesShareAnUpperLayerAndLeaveItAlone) {
  create_upper(kDisk, false);
  const std::string config = "{" + upper_json() + "}";
  image::OpenOptions options;
  options.is_read_only = true;
  const auto first = open_text(config, options);
  const auto second = open_text(config, options);
  EXPECT_EQ(refusal_of([&] { open_text(config); }),
            "config: upper: " + at("data") +
                ": is in use as the writable layer of another device, or a command works on it");
  // Not only because the image refuses: the files are open for reading alone.
  EXPECT_LT(first->writable()->upper().write(Bytes(512), 0), 0);
  EXPECT_LT(first->writable()->upper().resize(kDisk * 2), 0);
}

TEST_F(ImageOpenTest, AnUpperLayersKindIsFoundOut) {
  for (const bool is_sparse : {false, true}) {
    create_upper(kDisk, is_sparse);
    const auto image = open_text("{" + upper_json() + "}");
    EXPECT_EQ(image->writable()->upper().is_sparse(), is_sparse);
    ASSERT_EQ(image->layers().size(), 1U);
    EXPECT_TRUE(image->layers()[0].is_writable);
    fs::remove(at("data"));
    fs::remove(at("index"));
  }
}

TEST_F(ImageOpenTest, ASealedUpperLayerIsRefused) {
  create_upper(kDisk, false);
  const std::string config = "{" + upper_json() + "}";
  // Sealing leaves the header as it was; a committed one has it in the header.
  write_bytes(at("data"), layer_of(1));
  EXPECT_NE(refusal_of([&] { open_text(config); }).find("a finished layer"), std::string::npos);
}

}  // namespace

}  // namespace varve::test
