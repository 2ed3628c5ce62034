// Writable layers, append-only and sparse: the golden ones, and what they do one by one.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "test/lsmt/random.h"
#include "test/lsmt/writable_layers.h"
#include "test/temporary_directory.h"

namespace varve::test {

using namespace lsmt;

// A finished layer with one letter all over.
Bytes lower_layer(std::uint64_t virtual_size, unsigned char letter) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = virtual_size});
  EXPECT_EQ(layer->write(filled(virtual_size, letter), 0), 0);
  return committed(*layer);
}

std::shared_ptr<const ReadOnlyStack> golden_lower() {
  return stack_of({fixture("merged/merged.lsmt")});
}

std::unique_ptr<io::WritableFile> writable_fixture(const std::string& name) {
  return std::make_unique<MemoryFile>(fixture(name));
}

TEST(GoldenWritable, AppendOnlyReadsAsItShould) {
  for (const std::string name : {"rw-append", "rw-append-group"}) {
    const auto stack = on_top(WritableLayer::open(writable_fixture(name + "/data"),
                                                  writable_fixture(name + "/index")),
                              golden_lower());
    expect_content(*stack, read_json(fixture_path(name + "/expected.json")));
    // The same content as one layer, and as a layer on what was below.
    Bytes merged;
    stack->merge({}, into(merged));
    expect_content(*stack_of({merged}), read_json(fixture_path(name + "/expected.json")));
    expect_content(*stack_of({fixture("merged/merged.lsmt"), committed(stack->upper())}),
                   read_json(fixture_path(name + "/expected.json")));
  }
}

class GoldenSparse : public TemporaryDirectory {};

TEST_F(GoldenSparse, ReadsAsItShouldAndKeepsDoingSoOnceWritten) {
  const std::string command = "tar -xSzf '" + fixture_path("rw-sparse/data.tar.gz") + "' -C '" +
                              path() + "' --no-same-owner";
  ASSERT_EQ(std::system(command.c_str()), 0);
  write_file("index", "");
  const auto open = [this] {
    return on_top(WritableLayer::open(io::open_writable_file(at("data"), false),
                                      io::open_writable_file(at("index"), false)),
                  golden_lower());
  };
  expect_content(*open(), read_json(fixture_path("rw-sparse/expected.json")));
  const Bytes before = read_all(*open());
  {
    // One sector, which must not hide the others of its block.
    const auto stack = open();
    ASSERT_EQ(stack->upper().write(filled(512, 'x'), 1 << 20), 0);
  }
  Bytes expected = before;
  std::fill_n(expected.begin() + (1 << 20), 512, std::byte{'x'});
  EXPECT_TRUE(read_all(*open()) == expected);
}

TEST(Append, WritesTheEntriesThatTheFormatsExampleHas) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = std::uint64_t{1} << 30});
  ASSERT_EQ(layer->write(filled(4096, 'a'), 0), 0);
  ASSERT_EQ(layer->write(filled(4096, 'b'), 8192), 0);
  ASSERT_EQ(layer->write(filled(512, 'c'), 4096), 0);
  ASSERT_EQ(layer->discard({8192, 1024}), 0);
  ASSERT_EQ(layer->write(filled(1 << 20, 'd'), 1 << 20), 0);
  const auto* entries = reinterpret_cast<const Mapping*>(files.index->bytes.data() + kHeaderBytes);
  const std::vector<Mapping> expected = {
      Mapping::data({0, 8}, 8), Mapping::data({16, 8}, 16), Mapping::data({8, 1}, 24),
      Mapping::zeros({16, 2}, 25), Mapping::data({2048, 2048}, 25)};
  ASSERT_EQ(files.index->bytes.size(), kHeaderBytes + expected.size() * sizeof(Mapping));
  EXPECT_EQ(std::vector<Mapping>(entries, entries + expected.size()), expected);

  const Bytes bytes = committed(*layer);
  EXPECT_EQ(bytes.size(), 1068544U);
  const ReadOnlyLayer commit = open_layer(bytes);
  EXPECT_EQ(commit.trailer.index_offset, 0x102E00U);
  EXPECT_EQ(commit.trailer.index_count, 256U);
  const std::vector<Mapping> joined = {Mapping::data({0, 9}, 8), Mapping::zeros({16, 2}, 17),
                                       Mapping::data({18, 6}, 17),
                                       Mapping::data({2048, 2048}, 23)};
  EXPECT_EQ(std::vector<Mapping>(commit.mappings.begin(), commit.mappings.end()), joined);

  layer->seal();
  EXPECT_EQ(files.data->bytes.size(), 1065984U);
  const ReadOnlyLayer sealed = open_layer(files.data->bytes);
  EXPECT_EQ(sealed.trailer.index_offset, 1061376U);
  EXPECT_EQ(sealed.trailer.index_count, 5U);
  EXPECT_EQ(sealed.trailer.uuid, layer->header().uuid);
  EXPECT_FALSE(sealed.header.is_sealed);
  EXPECT_EQ(layer->write(filled(512, 'e'), 0), -EROFS);
  EXPECT_EQ(layer->discard({0, 512}), -EROFS);
  EXPECT_EQ(layer->resize(512), -EROFS);
  EXPECT_EQ(refusal_of([&] { layer->seal(); }), "data: is sealed already");
}

TEST(Append, GoesOnBehindTornAppends) {
  const LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 8192})->write(filled(4096, 'a'), 0), 0);
  files.data->bytes.resize(files.data->bytes.size() + 3, std::byte{'?'});
  files.index->bytes.resize(files.index->bytes.size() + 7, std::byte{'?'});
  ASSERT_EQ(files.open()->write(filled(4096, 'b'), 4096), 0);
  Bytes expected = filled(4096, 'a');
  expected.resize(8192, std::byte{'b'});
  EXPECT_TRUE(read_all(*on_top(files.open())) == expected);
}

TEST(Append, WhoseDataWasLostIsRefusedUnlessThatIsExpected) {
  const LayerFiles files;
  {
    const auto layer = files.create({.virtual_size = 8192});
    ASSERT_EQ(layer->write(filled(4096, 'a'), 0), 0);
    ASSERT_EQ(layer->write(filled(4096, 'b'), 0), 0);
  }
  files.data->bytes.resize(files.data->bytes.size() - 512);
  EXPECT_NE(refusal_of([&] { static_cast<void>(files.open()); }), "");
  auto layer = files.open(LostData::kDrop);
  EXPECT_EQ(layer->dropped_entries(), 1U);
  Bytes expected = filled(4096, 'a');
  expected.resize(8192);
  EXPECT_TRUE(read_all(*on_top(std::move(layer))) == expected);
}

// A write that was lost stays lost when later ones fill the place that its entry points to.
TEST(Append, WhoseDataWasLostDoesNotComeBackAsOthersData) {
  const LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 65536})->write(filled(8192, 'a'), 0), 0);
  files.data->bytes.resize(kHeaderBytes);
  // Nothing is changed by looking.
  const Bytes index_before = files.index->bytes;
  EXPECT_EQ(files.open(LostData::kDrop)->dropped_entries(), 1U);
  EXPECT_TRUE(files.index->bytes == index_before);
  {
    const auto layer = files.open(LostData::kDrop);
    ASSERT_EQ(layer->write(filled(8192, 'b'), 32768), 0);
    ASSERT_EQ(layer->write(filled(8192, 'c'), 49152), 0);
  }
  const auto layer = files.open();
  EXPECT_EQ(layer->dropped_entries(), 0U);
  Bytes expected(65536);
  std::fill_n(expected.begin() + 32768, 8192, std::byte{'b'});
  std::fill_n(expected.begin() + 49152, 8192, std::byte{'c'});
  EXPECT_TRUE(read_all(*on_top(files.open())) == expected);
}

TEST(Append, IsNotAnsweredBeforeLostEntriesAreGone) {
  const LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 65536})->write(filled(8192, 'a'), 0), 0);
  files.data->bytes.resize(kHeaderBytes);
  const auto layer = files.open(LostData::kDrop);
  files.index->next_write_error = -EIO;
  EXPECT_EQ(layer->write(filled(8192, 'b'), 32768), -EIO);
  EXPECT_EQ(files.data->bytes.size(), kHeaderBytes);
  EXPECT_EQ(layer->write(filled(8192, 'b'), 32768), 0);
  EXPECT_EQ(files.open()->dropped_entries(), 0U);
}

class Sealed : public testing::TestWithParam<bool> {};

TEST_P(Sealed, CannotBeOpenedForWritingAgain) {
  const LayerFiles files;
  {
    const auto layer = files.create({.virtual_size = 65536, .is_sparse = GetParam()});
    ASSERT_EQ(layer->write(filled(8192, 'a'), 4096), 0);
    layer->seal();
  }
  const Bytes sealed = files.data->bytes;
  EXPECT_NE(refusal_of([&] { static_cast<void>(files.open()); }).find("data: was sealed"), std::string::npos);
  EXPECT_TRUE(files.data->bytes == sealed);
  EXPECT_EQ(open_layer(sealed).mappings.size(), 1U);
}

// Whoever writes to the disk knows neither the layer's uuid nor how to end it.
TEST_P(Sealed, IsNotTakenForATrailerOfAnotherLayer) {
  const LayerFiles files;
  const Header header = files.create({.virtual_size = 65536, .is_sparse = GetParam()})->header();
  const auto end = static_cast<std::uint64_t>(files.data->bytes.size());
  Header forged = header;
  forged.is_header = false;
  forged.is_sealed = true;
  forged.index_offset = end;
  forged.index_count = 0;
  const Bytes whole = files.data->bytes;
  const auto opens_with = [&](const Uuid& uuid) {
    forged.uuid = uuid;
    files.data->bytes = whole;
    const HeaderBlock block = forged.encode();
    files.data->bytes.insert(files.data->bytes.end(), block.begin(), block.end());
    try {
      static_cast<void>(files.open());
      return true;
    } catch (const io::FormatError&) {
      return false;
    }
  };
  EXPECT_FALSE(opens_with(header.uuid)) << "this is how a seal ends it";
  EXPECT_TRUE(opens_with("112C78F9-66FB-4CB1-B438-22F9C75770BF"));
}

// Whoever writes a finished layer into the disk does not finish the layer that the disk is in.
TEST_P(Sealed, IsNotTakenForWhatTheDiskHolds) {
  const LayerFiles inner;
  {
    const auto layer = inner.create({.virtual_size = 65536, .is_sparse = GetParam()});
    ASSERT_EQ(layer->write(filled(8192, 'a'), 4096), 0);
    layer->seal();
  }
  const LayerFiles files;
  const Bytes& content = inner.data->bytes;
  const auto size = static_cast<std::uint64_t>(content.size());
  ASSERT_EQ(files.create({.virtual_size = size, .is_sparse = GetParam()})->write(content, 0), 0);
  EXPECT_TRUE(read_all(*on_top(files.open())) == content);
}

INSTANTIATE_TEST_SUITE_P(Layers, Sealed, testing::Bool(), [](const auto& is_sparse) {
  return is_sparse.param ? "Sparse" : "AppendOnly";
});

class Pair : public testing::TestWithParam<bool> {
 protected:
  static LayerFiles pair_of(const char* uuid, const char* parent) {
    LayerFiles files;
    const auto layer = files.create(
        {.virtual_size = 65536, .is_sparse = GetParam(), .uuid = uuid, .parent_uuid = parent});
    // A sparse layer has an index from its first write on.
    EXPECT_EQ(layer->write(filled(512, 'a'), 0), 0);
    return files;
  }
  static std::string refusal_of_pair(const LayerFiles& one, const LayerFiles& other) {
    const LayerFiles mixed{one.data, other.index};
    return refusal_of([&] { static_cast<void>(mixed.open()); });
  }
};

TEST_P(Pair, OfTwoLayersIsRefused) {
  const char* const kOne = "112C78F9-66FB-4CB1-B438-22F9C75770BF";
  const char* const kOther = "3FC7F4B7-215E-49D4-89C7-C155C53F17C2";
  const LayerFiles files = pair_of(kOne, "");
  EXPECT_EQ(refusal_of_pair(files, pair_of(kOther, "")),
            std::string("index: belongs to another data file than data: its uuid is ") + kOther +
                ", that of the data is " + kOne);
  EXPECT_EQ(refusal_of_pair(files, pair_of(kOne, kOther)),
            std::string("index: belongs to another data file than data: its parent uuid is ") +
                kOther + ", that of the data is none");
}

TEST_P(Pair, MayWriteItsUuidInEitherCase) {
  EXPECT_EQ(refusal_of_pair(pair_of("112C78F9-66FB-4CB1-B438-22F9C75770BF", ""),
                            pair_of("112c78f9-66fb-4cb1-b438-22f9c75770bf", "")),
            "");
}

// As a resize leaves it that broke off between the two.
TEST_P(Pair, MayHaveTwoSizes) {
  const LayerFiles files = pair_of("", "");
  Header header = files.open()->header();
  header.virtual_size = 32768;
  std::ranges::copy(header.encode(), files.data->bytes.begin());
  EXPECT_EQ(files.open()->virtual_size(), GetParam() ? 32768U : 65536U);
}

INSTANTIATE_TEST_SUITE_P(Layers, Pair, testing::Bool(), [](const auto& is_sparse) {
  return is_sparse.param ? "Sparse" : "AppendOnly";
});

TEST(Seal, RefusesMoreMappingsThanReadersTake) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = std::uint64_t{1} << 40});
  for (std::uint64_t at = 0; at <= kReadersMappingsMax; ++at) {
    ASSERT_EQ(layer->discard({at * 1024, 512}), 0);
  }
  const Bytes before = files.data->bytes;
  EXPECT_NE(refusal_of([&] { layer->seal(); }).find("1000001 mappings"), std::string::npos);
  EXPECT_TRUE(files.data->bytes == before);
  EXPECT_EQ(layer->write(filled(512, 'a'), 0), 0);
}

class VeryLarge : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::uint64_t kSize = std::uint64_t{16} << 40;
  // In memory a sparse file would take all of it, as in many file systems.
  std::unique_ptr<WritableStack> on(std::shared_ptr<const ReadOnlyStack> lower) const {
    return on_top(files_.create({.virtual_size = kSize}), std::move(lower));
  }
  [[nodiscard]] std::size_t recorded() const {
    return (files_.index->bytes.size() - kHeaderBytes) / sizeof(Mapping);
  }
  // Finished in this way it is no larger than what it holds.
  Bytes finish(WritableStack& stack) const {
    if (!GetParam()) return committed(stack.upper());
    stack.upper().seal();
    return files_.data->bytes;
  }

  LayerFiles files_;
};

TEST_P(VeryLarge, RecordsNothingForZerosOverNothing) {
  const auto stack = on(nullptr);
  ASSERT_EQ(stack->upper().discard({0, kSize}), 0);
  EXPECT_EQ(recorded(), 0U);
  ASSERT_EQ(stack->upper().write(filled(4096, 'a'), kSize / 2), 0);
  ASSERT_EQ(stack->upper().write(filled(4096, 'b'), 0), 0);
  for (int time = 0; time < 2; ++time) {
    ASSERT_EQ(stack->upper().discard({4096, kSize - 4096}), 0);
    EXPECT_EQ(recorded(), 3U);
  }
  ASSERT_EQ(stack->upper().resize(8192), 0);
  EXPECT_EQ(recorded(), 3U);
  EXPECT_EQ(open_layer(finish(*stack)).mappings.size(), 1U);
}

TEST_P(VeryLarge, BecomesSmallWhateverItsSizeWas) {
  const auto stack = on(nullptr);
  ASSERT_EQ(stack->upper().write(filled(4096, 'a'), 4096), 0);
  ASSERT_EQ(stack->upper().write(filled(4096, 'b'), kSize - 4096), 0);
  ASSERT_EQ(stack->upper().resize(kVirtualSizeMax), 0);
  ASSERT_EQ(stack->upper().resize(16384), 0);
  EXPECT_EQ(recorded(), 3U);
  // What was cut off stays away.
  ASSERT_EQ(stack->upper().resize(kSize), 0);
  Bytes end(4096);
  ASSERT_EQ(stack->read(end, kSize - 4096), 0);
  EXPECT_TRUE(end == Bytes(4096));
  ASSERT_EQ(stack->upper().resize(16384), 0);
  Bytes expected = filled(4096, 'a');
  expected.insert(expected.begin(), 4096, std::byte{});
  expected.resize(16384);
  const Bytes layer = finish(*stack);
  EXPECT_TRUE(read_all(*stack_of({layer})) == expected);
  EXPECT_EQ(open_layer(layer).mappings.size(), 1U);
}

TEST_P(VeryLarge, HidesWhatLiesBelowWhenItIsShrunkAndGrowsAgain) {
  const Bytes below = [] {
    const LayerFiles files;
    const auto layer = files.create({.virtual_size = kSize});
    EXPECT_EQ(layer->write(filled(4096, 'L'), 8192), 0);
    EXPECT_EQ(layer->write(filled(4096, 'L'), kSize / 2), 0);
    EXPECT_EQ(layer->discard({kSize / 4, 4096}), 0);
    return committed(*layer);
  }();
  const auto stack = on(stack_of({below}));
  ASSERT_EQ(stack->upper().resize(8192), 0);
  EXPECT_EQ(recorded(), 2U);
  const Bytes upper = finish(*stack);
  EXPECT_EQ(open_layer(upper).mappings.size(), 2U);
  // A larger layer on top would show what lies behind the end.
  const LayerFiles larger;
  const auto top = on_top(larger.create({.virtual_size = kSize}), stack_of({below, upper}));
  for (const std::uint64_t offset : {std::uint64_t{8192}, kSize / 2}) {
    Bytes found(4096);
    ASSERT_EQ(top->read(found, offset), 0);
    EXPECT_TRUE(found == Bytes(4096)) << offset;
  }
}

INSTANTIATE_TEST_SUITE_P(Disks, VeryLarge, testing::Bool(), [](const auto& is_sealed) {
  return is_sealed.param ? "Sealed" : "Committed";
});

// Shrunk, a disk of many scattered pieces leaves an entry for each, of which none has to stay.
TEST(Stack, IsFinishedThoughReadersWouldNotTakeWhatItHadBeforeItBecameSmaller) {
  const LayerFiles files;
  const auto stack = on_top(files.create({.virtual_size = std::uint64_t{16} << 40}));
  const Bytes sector(512);
  constexpr std::uint64_t kStep = kMappingSectorsMax * kSectorSize;
  for (std::uint64_t number = 0; number <= kReadersMappingsMax; ++number) {
    ASSERT_EQ(stack->upper().write(sector, number * kStep), 0);
  }
  ASSERT_EQ(stack->upper().resize(8192), 0);
  EXPECT_EQ(open_layer(committed(stack->upper())).mappings.size(), 1U);
  Bytes merged;
  stack->merge({}, into(merged));
  EXPECT_EQ(open_layer(merged).mappings.size(), 1U);
  stack->upper().seal();
  EXPECT_EQ(open_layer(files.data->bytes).mappings.size(), 1U);
}

TEST(Stack, ThatIsOnlyReadTakesTheSizeOfWhatIsBelow) {
  const std::shared_ptr<const ReadOnlyStack> lower = stack_of({lower_layer(16384, 'L')});
  const LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 0})->virtual_size(), 0U);
  const Bytes before = files.index->bytes;
  const WritableStack stack(files.open(), lower, "disk", true);
  EXPECT_EQ(stack.size(), 16384U);
  EXPECT_TRUE(read_all(stack) == filled(16384, 'L'));
  EXPECT_TRUE(files.index->bytes == before);
  Bytes merged;
  stack.merge({}, into(merged));
  EXPECT_EQ(open_layer(merged).trailer.virtual_size, 16384U);
}

TEST(Append, ThatFailsChangesNothing) {
  const LayerFiles files;
  auto layer = files.create({.virtual_size = 4096});
  ASSERT_EQ(layer->write(filled(4096, 'a'), 0), 0);
  files.data->next_write_error = -ENOSPC;
  EXPECT_EQ(layer->write(filled(4096, 'b'), 0), -ENOSPC);
  files.index->next_write_error = -ENOSPC;
  EXPECT_EQ(layer->write(filled(4096, 'c'), 0), -ENOSPC);
  files.index->next_write_error = -EIO;
  EXPECT_EQ(layer->discard({0, 4096}), -EIO);
  EXPECT_TRUE(read_all(*on_top(std::move(layer))) == filled(4096, 'a'));
  EXPECT_TRUE(read_all(*on_top(files.open())) == filled(4096, 'a'));
}

TEST(Sparse, KeepsSingleSectorsAndDiscardsOverWhatLiesBelow) {
  const std::shared_ptr<const ReadOnlyStack> lower = stack_of({lower_layer(16384, 'L')});
  const LayerFiles files;
  {
    const auto stack = on_top(files.create({.virtual_size = 16384, .is_sparse = true}), lower);
    ASSERT_EQ(stack->upper().write(filled(512, 'x'), 512), 0);
    ASSERT_EQ(stack->upper().discard({4096, 4096}), 0);
  }
  Bytes expected = filled(16384, 'L');
  std::fill_n(expected.begin() + 512, 512, std::byte{'x'});
  std::fill_n(expected.begin() + 4096, 4096, std::byte{});
  EXPECT_TRUE(read_all(*on_top(files.open(), lower)) == expected);
  EXPECT_TRUE(read_all(*stack_of({lower_layer(16384, 'L'), committed(*files.open())})) ==
              expected);
}

TEST(Sparse, ShrinksWhenItIsDiscardedAndWritesNoEntryForWhatIsMapped) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = 1 << 20, .is_sparse = true});
  ASSERT_EQ(layer->write(filled(1 << 20, 'x'), 0), 0);
  EXPECT_EQ(files.data->data_blocks(), 257U);
  const std::size_t entries = files.index->bytes.size();
  ASSERT_EQ(layer->write(filled(8192, 'y'), 4096), 0);
  EXPECT_EQ(files.index->bytes.size(), entries);
  ASSERT_EQ(layer->discard({0, 1 << 20}), 0);
  EXPECT_EQ(files.data->data_blocks(), 1U);
}

// Overlaybd opens no layer whose zeros have a place elsewhere.
TEST(Sparse, ThatBecameSmallerIsSealedWithZerosThatHaveAPlaceInTheData) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = 16 << 20, .is_sparse = true});
  ASSERT_EQ(layer->write(filled(4096, 'x'), 0), 0);
  ASSERT_EQ(layer->resize(65536), 0);
  layer->seal();
  const ReadOnlyLayer sealed = open_layer(files.data->bytes);
  ASSERT_EQ(sealed.mappings.size(), 3U);
  EXPECT_EQ(sealed.mappings[1].range().first, 65536 / kSectorSize);
  for (const Mapping& mapping : sealed.mappings) {
    EXPECT_GE(mapping.data_first(), kHeaderSectors);
    EXPECT_LE(mapping.data_end(), sealed.trailer.index_offset / kSectorSize);
  }
}

TEST(Sparse, WithAnEmptyIndexIsReadFromItsHoles) {
  LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 65536, .is_sparse = true})->write(filled(8192, 'x'), 4096),
            0);
  files.index = std::make_shared<MemoryContent>();
  Bytes expected(65536);
  std::fill_n(expected.begin() + 4096, 8192, std::byte{'x'});
  EXPECT_TRUE(read_all(*on_top(files.open())) == expected);
  EXPECT_EQ(files.index->bytes.size(), 0U);
  ASSERT_EQ(files.open()->write(filled(512, 'y'), 0), 0);
  std::fill_n(expected.begin(), 512, std::byte{'y'});
  EXPECT_TRUE(read_all(*on_top(files.open())) == expected);
  // An index whose header never came counts as empty.
  std::fill_n(files.index->bytes.begin(), kHeaderBytes, std::byte{});
  EXPECT_TRUE(read_all(*on_top(files.open())) == expected);
}

TEST(Sparse, WhoseEntriesPointElsewhereIsRefused) {
  const LayerFiles files;
  ASSERT_EQ(files.create({.virtual_size = 65536, .is_sparse = true})->write(filled(8192, 'x'), 4096),
            0);
  LayerFiles moved = files.copy();
  moved.index->bytes[kHeaderBytes + 8] = std::byte{9};
  EXPECT_NE(refusal_of([&] { static_cast<void>(moved.open()); }), "");
  LayerFiles cut = files.copy();
  cut.data->bytes.resize(8192);
  EXPECT_NE(refusal_of([&] { static_cast<void>(cut.open()); }), "");
}

TEST(WritableStack, WithoutASizeTakesThatOfWhatLiesBelowAndKeepsIt) {
  const LayerFiles files;
  const std::shared_ptr<const ReadOnlyStack> lower = stack_of({lower_layer(16384, 'L')});
  EXPECT_EQ(on_top(files.create({.virtual_size = 0}), lower)->size(), 16384U);
  EXPECT_EQ(files.open()->virtual_size(), 16384U);
  const LayerFiles alone;
  EXPECT_NE(refusal_of([&] { on_top(alone.create({.virtual_size = 0})); }), "");
}

TEST(WritableStack, RefusesWhatIsNoSectorOrNotOnTheDisk) {
  const LayerFiles files;
  const auto stack = on_top(files.create({.virtual_size = 8192}));
  WritableLayer& layer = stack->upper();
  EXPECT_EQ(layer.write(filled(512, 'x'), 100), -EINVAL);
  EXPECT_EQ(layer.write(filled(100, 'x'), 0), -EINVAL);
  EXPECT_EQ(layer.write(filled(512, 'x'), 8192), -ENOSPC);
  EXPECT_EQ(layer.write(filled(1024, 'x'), 7680), -ENOSPC);
  EXPECT_EQ(layer.discard({0, ~std::uint64_t{511}}), -ENOSPC);
  Bytes bytes(512);
  EXPECT_EQ(stack->read(bytes, 8192), -EINVAL);
}

class ManyThreads : public testing::TestWithParam<bool> {};

// Each thread writes its own part and reads it back while the others do the same.
TEST_P(ManyThreads, ReadAndWriteTheirOwnPartsAtOnce) {
  constexpr std::uint64_t kPart = 64 * 1024;
  constexpr unsigned kThreads = 4;
  const LayerFiles files;
  const std::shared_ptr<const ReadOnlyStack> lower =
      stack_of({lower_layer(kPart * kThreads, 'L')});
  const auto stack =
      on_top(files.create({.virtual_size = kPart * kThreads, .is_sparse = GetParam()}), lower);
  const std::uint64_t seed = choose_seed();
  std::atomic<unsigned> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(seed + thread);
      Bytes expected = filled(kPart, 'L');
      Bytes found(kPart);
      for (unsigned round = 0; round < 500; ++round) {
        const std::uint64_t first = random.below(kPart / 512);
        const std::uint64_t length = random.between(1, kPart / 512 - first) * 512;
        const std::uint64_t offset = first * 512;
        const bool is_discard = random.one_in(3);
        const Bytes bytes = filled(length, is_discard ? 0 : static_cast<unsigned char>(round));
        const int error = is_discard
                              ? stack->upper().discard({thread * kPart + offset, length})
                              : stack->upper().write(bytes, thread * kPart + offset);
        std::copy(bytes.begin(), bytes.end(),
                  expected.begin() + static_cast<std::ptrdiff_t>(offset));
        if (error != 0 || stack->read(found, thread * kPart) != 0 || found != expected) ++wrong;
        if (round % 100 == 0 && stack->upper().flush() != 0) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
}

INSTANTIATE_TEST_SUITE_P(Layers, ManyThreads, testing::Bool(), [](const auto& is_sparse) {
  return is_sparse.param ? "Sparse" : "AppendOnly";
});

}  // namespace varve::test
