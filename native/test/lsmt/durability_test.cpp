// What a writable layer makes durable, and in which order: a loss of power between any two of its
// calls must leave what was flushed before.
#include "test/lsmt/random.h"
#include "test/lsmt/writable_layers.h"

namespace varve::test {
namespace {

using namespace lsmt;

// A layer on files of which only what was synced is there after a loss of power.
class Durability : public testing::TestWithParam<bool> {
 protected:
  using Calls = std::vector<std::string>;
  // In which of the files more than what was synced may have reached the disk.
  enum class Written { kNone, kData, kIndex, kBoth };

  Durability() {
    watch(files_.data, durable_.data, "data");
    watch(files_.index, durable_.index, "index");
  }

  void watch(const SharedContent& content, const SharedContent& durable, const std::string& name) {
    content->on_call = [this, content = content.get(), durable = durable.get(), name](Call call) {
      const char* names[] = {"write", "resize", "punch", "sync"};
      calls_.push_back(name + " " + names[static_cast<std::size_t>(call)]);
      if (call != Call::kSync) return;
      durable->bytes = content->bytes;
      durable->has_data = content->has_data;
    };
  }

  std::unique_ptr<WritableLayer> create(std::uint64_t size = 65536) {
    auto layer = files_.create({.virtual_size = size, .is_sparse = GetParam()});
    calls_.clear();
    return layer;
  }

  // What a loss of power leaves.
  [[nodiscard]] LayerFiles lost(Written written = Written::kNone) const {
    const bool has_data = written == Written::kData || written == Written::kBoth;
    const bool has_index = written == Written::kIndex || written == Written::kBoth;
    return {copy_of(has_data ? files_.data : durable_.data),
            copy_of(has_index ? files_.index : durable_.index)};
  }

  LayerFiles files_;
  LayerFiles durable_;
  Calls calls_;
};

TEST_P(Durability, IsThereOnceTheLayerIsMade) {
  const auto layer = create();
  EXPECT_TRUE(read_all(*on_top(lost().open())) == Bytes(65536));
}

TEST_P(Durability, OfDataComesBeforeThatOfItsEntries) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(4096, 'a'), 0), 0);
  EXPECT_EQ(calls_, (Calls{"data write", "index write"}));
  calls_.clear();
  ASSERT_EQ(layer->flush(), 0);
  EXPECT_EQ(calls_, (Calls{"data sync", "index sync"}));
}

// Whatever else of the two files the kernel had written by itself.
TEST_P(Durability, OfWhatWasFlushedDoesNotDependOnLaterWrites) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(8192, 'a'), 4096), 0);
  ASSERT_EQ(layer->discard({4096, 512}), 0);
  ASSERT_EQ(layer->flush(), 0);
  const Bytes flushed = read_all(*on_top(files_.copy().open()));
  // Elsewhere, so that each sector can hold one thing alone.
  ASSERT_EQ(layer->write(filled(8192, 'b'), 32768), 0);
  ASSERT_EQ(layer->discard({49152, 4096}), 0);
  for (const Written written : {Written::kNone, Written::kData, Written::kIndex, Written::kBoth}) {
    const Bytes found = read_all(*on_top(lost(written).open(LostData::kDrop)));
    EXPECT_TRUE(std::equal(flushed.begin(), flushed.begin() + 32768, found.begin()))
        << static_cast<int>(written);
  }
  EXPECT_TRUE(read_all(*on_top(lost().open())) == flushed);
}

TEST_P(Durability, OfASealedLayerComesBeforeItsTrailerAndBeforeTheAnswer) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(8192, 'a'), 4096), 0);
  const Bytes expected = read_all(*on_top(files_.copy().open()));
  calls_.clear();
  layer->seal();
  // Data and index, then the trailer.
  ASSERT_GE(calls_.size(), 4U);
  EXPECT_EQ(calls_.front(), "data write");
  EXPECT_EQ(Calls(calls_.end() - 3, calls_.end()), (Calls{"data sync", "data write", "data sync"}));
  EXPECT_TRUE(read_all(*stack_of({lost().data->bytes})) == expected);
}

TEST_P(Durability, OfANewSizeComesBeforeTheAnswer) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(8192, 'a'), 4096), 0);
  ASSERT_EQ(layer->resize(8192), 0);
  EXPECT_EQ(lost().open()->virtual_size(), 8192U);
  ASSERT_EQ(layer->resize(16384), 0);
  Bytes expected = filled(4096, 'a');
  expected.insert(expected.begin(), 4096, std::byte{});
  expected.resize(16384);
  EXPECT_TRUE(read_all(*on_top(lost().open())) == expected);
}

INSTANTIATE_TEST_SUITE_P(Layers, Durability, testing::Bool(), [](const auto& is_sparse) {
  return is_sparse.param ? "Sparse" : "AppendOnly";
});

using AppendDurability = Durability;

// Once the data file is longer again, what lost its data would show what others wrote.
TEST_P(AppendDurability, OfLostEntriesEndComesBeforeNewData) {
  ASSERT_EQ(create()->write(filled(8192, 'a'), 0), 0);
  files_.data->bytes.resize(kHeaderBytes);
  const auto layer = files_.open(LostData::kDrop);
  calls_.clear();
  ASSERT_EQ(layer->write(filled(8192, 'b'), 32768), 0);
  EXPECT_EQ(calls_, (Calls{"index write", "index sync", "data write", "index write"}));
}

INSTANTIATE_TEST_SUITE_P(Layers, AppendDurability, testing::Values(false),
                         [](const auto&) { return "AppendOnly"; });

// A file system that has the block of the file's end on disk may count what is appended to it as
// there while its bytes are not, and with its entry it would hide what was flushed.
TEST_P(AppendDurability, OfWhatWasFlushedIsNotTouchedByWhatIsAppendedToItsBlock) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(512, 'a'), 0), 0);
  ASSERT_EQ(layer->flush(), 0);
  ASSERT_EQ(layer->write(filled(512, 'b'), 512), 0);
  ASSERT_EQ(layer->write(filled(512, 'c'), 1024), 0);
  Found found;
  layer->find({0, 128}, found);
  ASSERT_EQ(found.count, 3U);
  EXPECT_EQ(found.mappings[0].data_first(), 8U);
  EXPECT_EQ(found.mappings[1].data_first(), 16U) << "the next block";
  EXPECT_EQ(found.mappings[2].data_first(), 17U) << "nobody flushed";
  // Also for whoever opens it then.
  const auto again = lost().open();
  ASSERT_EQ(again->write(filled(512, 'd'), 0), 0);
  again->find({0, 1}, found);
  EXPECT_EQ(found.mappings[0].data_first(), 16U);
}

using SparseDurability = Durability;

// A header says that the entries behind it are all there are.
TEST_P(SparseDurability, OfEntriesTakenFromHolesComesBeforeTheirHeader) {
  ASSERT_EQ(create()->write(filled(8192, 'a'), 0), 0);
  files_.index->bytes.clear();
  const auto layer = files_.open();
  calls_.clear();
  ASSERT_EQ(layer->write(filled(512, 'b'), 32768), 0);
  EXPECT_EQ(calls_, (Calls{"data write", "index resize", "index resize", "index write",
                           "index sync", "index write", "index write"}));
}

// Entries behind the end of the file must not come back alone.
TEST_P(SparseDurability, OfWhatHidesTheEndComesBeforeTheFileIsCut) {
  const auto layer = create();
  ASSERT_EQ(layer->write(filled(8192, 'a'), 32768), 0);
  calls_.clear();
  ASSERT_EQ(layer->resize(8192), 0);
  const auto cut = std::find(calls_.begin(), calls_.end(), "data resize");
  ASSERT_NE(cut, calls_.end());
  EXPECT_EQ(*(cut - 1), "index sync");
}

INSTANTIATE_TEST_SUITE_P(Layers, SparseDurability, testing::Values(true),
                         [](const auto&) { return "Sparse"; });

}  // namespace
}  // namespace varve::test
