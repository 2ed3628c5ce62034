// Finished layers: the golden ones, layers written here byte for byte, damaged ones.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "test/lsmt/layers.h"
#include "test/lsmt/random.h"
#include "sha256/sha256.h"

namespace varve::test {

using namespace lsmt;

// Content for a layer: what lies in its file where, and the mappings to it.
struct Source {
  Bytes file = Bytes(kHeaderBytes);
  std::vector<Mapping> mappings;

  void data(std::uint64_t sector, const Bytes& bytes) {
    mappings.push_back(
        Mapping::data({sector, bytes.size() / kSectorSize}, file.size() / kSectorSize));
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  void zeros(std::uint64_t sector, std::uint64_t count) {
    mappings.push_back(Mapping::zeros({sector, count}, 8));
  }
};

Bytes layer_of(const Source& source, const LayerOptions& options) {
  MappingArray mappings(source.mappings.size());
  for (const Mapping& mapping : source.mappings) mappings.push_back(mapping);
  const MemoryFile file(source.file);
  Bytes bytes;
  write_layer(
      mappings, [&file](unsigned) -> const io::File& { return file; }, options, into(bytes));
  return bytes;
}

Bytes bottom_layer() {
  Source source;
  source.data(0, filled(65536, 'B'));
  source.data(4096, filled(4096, 'b'));
  return layer_of(source, {.virtual_size = std::uint64_t{1} << 30});
}

Bytes top_layer() {
  Source source;
  source.zeros(8, 16);
  source.data(32, filled(8192, 'T'));
  source.zeros(4096, 8);
  return layer_of(source, {.virtual_size = std::uint64_t{1} << 31});
}

TEST(Sums, AreThoseOfTheStandard) {
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Layer, IsWrittenByteForByteAsTheFormatsTestVectorsAre) {
  EXPECT_EQ(sha256(bottom_layer()),
            "690e3cc04dec501472fa6733b285066d7370b2ba844c41e835f00b6764050b84");
  EXPECT_EQ(sha256(top_layer()),
            "fab8b8fc98ff81ad7687f1df5f6aae7598b7afbd76c3535ec92e3237a32fdd1c");
}

TEST(Layer, HidesWhatLiesBelowByDataAndByZeros) {
  const auto stack = stack_of({bottom_layer(), top_layer()});
  EXPECT_EQ(stack->size(), std::uint64_t{1} << 31);
  struct Expected {
    std::uint64_t offset;
    std::size_t length;
    unsigned char content;
  };
  for (const Expected& expected : std::vector<Expected>{{0, 512, 0x42},
                                                        {4096, 8192, 0},
                                                        {12288, 512, 0x42},
                                                        {16384, 8192, 0x54},
                                                        {24576, 512, 0x42},
                                                        {2097152, 4096, 0},
                                                        {2101248, 512, 0}}) {
    Bytes bytes(expected.length);
    ASSERT_EQ(stack->read(bytes, expected.offset), 0);
    EXPECT_EQ(bytes, filled(expected.length, expected.content)) << "at " << expected.offset;
  }
}

TEST(Layer, ReadsAnyBytesNotOnlyWholeSectors) {
  const auto stack = stack_of({bottom_layer(), top_layer()});
  const Bytes whole = [&] {
    Bytes bytes(40960);
    EXPECT_EQ(stack->read(bytes, 0), 0);
    return bytes;
  }();
  Random random(choose_seed());
  for (unsigned round = 0; round < 2000; ++round) {
    const std::uint64_t offset = random.below(whole.size());
    Bytes bytes(random.between(0, whole.size() - offset));
    ASSERT_EQ(stack->read(bytes, offset), 0);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), &whole[offset]));
  }
  Bytes one(1);
  EXPECT_EQ(stack->read(one, stack->size()), -EINVAL);
  EXPECT_EQ(stack->read(one, ~std::uint64_t{0}), -EINVAL);
}

TEST(GoldenLayer, CommittedReadsAsItShould) {
  expect_content(*stack_of({fixture("lsmt-raw/layer.lsmt")}), read_json(fixture_path("lsmt-raw/expected.json")));
}

TEST(GoldenLayer, SealedReadsAsItShould) {
  expect_content(*stack_of({fixture("lsmt-sealed/layer.sealed")}), read_json(fixture_path("lsmt-sealed/expected.json")));
}

TEST(GoldenLayer, MergedReadsAsItShould) {
  expect_content(*stack_of({fixture("merged/merged.lsmt")}), read_json(fixture_path("merged/raw.expected.json")));
}

TEST(GoldenLayer, KeepsItsUuidParentAndTag) {
  const auto stack = stack_of({fixture("lsmt-raw/layer.lsmt")});
  const Header& trailer = stack->layers()[0].trailer;
  EXPECT_EQ(trailer.uuid, "3FC7F4B7-215E-49D4-89C7-C155C53F17C2");
  EXPECT_TRUE(parse_uuid(trailer.parent_uuid).has_value());
  EXPECT_FALSE(trailer.user_tag.empty());
}

// Bytes whose value the format leaves open: the layer number in each index entry.
Bytes without_layer_numbers(Bytes layer) {
  const ReadOnlyLayer opened = open_layer(layer);
  const std::size_t end = layer.size() - kHeaderBytes;
  for (std::size_t at = opened.trailer.index_offset; at < end; at += sizeof(Mapping)) {
    layer[at + sizeof(Mapping) - 1] = std::byte{};
  }
  return layer;
}

TEST(GoldenLayer, WrittenAgainGivesTheSameBytes) {
  for (const std::string name : {"lsmt-raw/layer.lsmt", "merged/merged.lsmt",
                                 "stack3/layer1.lsmt", "vsize0/layer1"}) {
    const Bytes numbered = fixture(name);
    const Bytes golden = without_layer_numbers(numbered);
    ReadOnlyLayer layer = open_layer(golden);
    // The runs of different layers are not joined.
    for (std::size_t at = 0; at < layer.mappings.size(); ++at) {
      const std::size_t entry = layer.trailer.index_offset + at * sizeof(Mapping);
      layer.mappings[at] = layer.mappings[at].with_layer(
          std::to_integer<unsigned>(numbered[entry + sizeof(Mapping) - 1]));
    }
    LayerOptions options;
    options.virtual_size = layer.header.virtual_size;
    options.uuid = layer.header.uuid;
    options.parent_uuid = layer.header.parent_uuid;
    options.user_tag = layer.header.user_tag;
    Bytes written;
    write_layer(
        layer.mappings, [&layer](unsigned) -> const io::File& { return *layer.file; }, options,
        into(written));
    EXPECT_TRUE(written == golden) << name;
  }
}

TEST(GoldenLayer, WithoutASizeTakesThatOfTheLayerBelow) {
  const Bytes above = fixture("vsize0/layer1");
  EXPECT_EQ(open_layer(above).trailer.virtual_size, 0U);
  const auto stack = stack_of({bottom_layer(), above});
  EXPECT_EQ(stack->size(), std::uint64_t{1} << 30);
  EXPECT_NE(refusal_of([&] { stack_of({above}); }), "");
}

TEST(DamagedLayer, IsRefusedWhereUpstreamRefusesIt) {
  const Bytes text = fixture("bad/cases.json");
  const auto* begin = reinterpret_cast<const char*>(text.data());
  unsigned count = 0;
  for (const auto& recipe : nlohmann::json::parse(begin, begin + text.size())) {
    if (recipe.at("base") != "lsmt-raw/layer.lsmt") continue;
    ++count;
    Bytes bytes = fixture("lsmt-raw/layer.lsmt");
    const Bytes intact = read_all(*stack_of({bytes}));
    if (recipe.contains("truncate")) bytes.resize(recipe.at("truncate").get<std::size_t>());
    if (recipe.contains("append")) {
      bytes.resize(bytes.size() + recipe.at("append").get<std::size_t>());
    }
    for (const auto& edit : recipe.value("edits", nlohmann::json::array())) {
      const auto hex = edit.at("hex").get<std::string>();
      const auto offset = edit.at("offset").get<std::size_t>();
      for (std::size_t at = 0; at < hex.size() / 2; ++at) {
        bytes[offset + at] = static_cast<std::byte>(std::stoul(hex.substr(at * 2, 2), nullptr, 16));
      }
    }
    const auto name = recipe.at("name").get<std::string>();
    const auto upstream = recipe.at("upstream").get<std::string>();
    const std::string refusal = refusal_of([&] {
      const Bytes content = read_all(*stack_of({bytes}));
      EXPECT_TRUE(upstream != "same" || content == intact) << name;
    });
    if (upstream.ends_with("fails")) {
      EXPECT_NE(refusal, "") << name;
    } else {
      EXPECT_EQ(refusal, "") << name;
    }
  }
  EXPECT_EQ(count, 15U);
}

// The trailer's fields, the header and the index hold whatever an attacker likes.
TEST(DamagedLayer, NeverLeadsOutsideOfTheFileWhateverItsFieldsSay) {
  Random random(choose_seed());
  const Bytes golden = fixture("stack3/layer1.lsmt");
  const std::uint64_t index_offset = open_layer(golden).trailer.index_offset;
  const std::uint64_t trailer = golden.size() - kHeaderBytes;
  const std::uint64_t extremes[] = {0,
                                    1,
                                    511,
                                    4095,
                                    trailer - 1,
                                    trailer + 1,
                                    golden.size(),
                                    std::uint64_t{1} << 31,
                                    std::uint64_t{1} << 60,
                                    std::uint64_t{1} << 63,
                                    ~std::uint64_t{0},
                                    ~std::uint64_t{0} - 15,
                                    ~std::uint64_t{4095}};
  const unsigned rounds = is_long_form() ? 200'000 : 5'000;
  unsigned refused = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    Bytes bytes = golden;
    for (std::uint64_t edits = random.between(1, 3); edits > 0; --edits) {
      const std::uint64_t value = random.one_in(2) ? extremes[random.below(std::size(extremes))]
                                                   : random.below(~std::uint64_t{0});
      const std::uint64_t places[] = {trailer + 32, trailer + 40, trailer + 48, 48,
                                      index_offset + random.below(64) * 8,
                                      random.below(golden.size() - 8)};
      std::memcpy(&bytes[places[random.below(std::size(places))]], &value, sizeof value);
    }
    const std::string refusal = refusal_of([&] {
      const auto stack = stack_of({bytes});
      Bytes block(65536);
      for (unsigned read = 0; read < 4; ++read) {
        const std::uint64_t size = std::min<std::uint64_t>(block.size(), stack->size());
        const int error = stack->read(std::span(block).first(size),
                                      random.below(stack->size() - size + 1));
        ASSERT_TRUE(error == 0 || error == -EIO);
      }
    });
    if (!refusal.empty()) ++refused;
  }
  EXPECT_GT(refused, rounds / 20);
}

TEST(DamagedLayer, IsNamedWithItsDefect) {
  Bytes bytes = fixture("stack3/layer1.lsmt");
  bytes[bytes.size() - kHeaderBytes + 28] = std::byte{2};
  EXPECT_EQ(refusal_of([&] { open_layer(bytes); }),
            "memory: the trailer is not that of a finished layer");
  bytes.resize(100);
  EXPECT_EQ(refusal_of([&] { open_layer(bytes); }), "memory: too short for a layer's data");
}

// Cuts itself short after it was opened.
class ShrunkFile final : public io::File {
 public:
  explicit ShrunkFile(Bytes bytes) : inner_(std::move(bytes)) {}
  [[nodiscard]] std::uint64_t size() const noexcept override { return inner_.size(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    return offset >= limit ? -EINVAL : inner_.read(destination, offset);
  }
  [[nodiscard]] const std::string& name() const noexcept override { return inner_.name(); }

  std::uint64_t limit = ~std::uint64_t{0};

 private:
  MemoryFile inner_;
};

TEST(Layer, ThatBecameShorterGivesAnInputErrorForWhatIsGone) {
  const auto file = std::make_shared<ShrunkFile>(bottom_layer());
  std::vector<ReadOnlyLayer> layers;
  layers.push_back(open_read_only_layer(file));
  const ReadOnlyStack stack(std::move(layers), "stack");
  Bytes block(4096);
  EXPECT_EQ(stack.read(block, 0), 0);
  file->limit = 4096;
  EXPECT_EQ(stack.read(block, 0), -EIO);
  EXPECT_EQ(stack.read(block, 1 << 20), 0);
}

// A layer whose index repeats what it was given, for as long as it says: a compressed file can do
// that in little room.
class EndlessIndex final : public io::File {
 public:
  EndlessIndex(std::vector<Mapping> entries, std::uint64_t count) : entries_(std::move(entries)) {
    Header header;
    header.is_header = true;
    header.is_data = true;
    header.virtual_size = std::uint64_t{1} << 40;
    begin_ = header.encode();
    header.is_header = false;
    header.is_sealed = true;
    header.index_offset = kHeaderBytes;
    header.index_count = count;
    end_ = header.encode();
    size_ = 2 * kHeaderBytes + count * sizeof(Mapping);
  }

  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    if (offset == 0 || offset == size_ - kHeaderBytes) {
      std::ranges::copy(offset == 0 ? begin_ : end_, destination.begin());
      return 0;
    }
    read_ += destination.size();
    for (std::size_t at = 0; at < destination.size(); at += sizeof(Mapping)) {
      const std::size_t number = (offset - kHeaderBytes + at) / sizeof(Mapping);
      std::memcpy(&destination[at], &entries_[number % entries_.size()], sizeof(Mapping));
    }
    return 0;
  }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return read_; }

 private:
  std::vector<Mapping> entries_;
  HeaderBlock begin_;
  HeaderBlock end_;
  std::uint64_t size_ = 0;
  mutable std::uint64_t read_ = 0;
  std::string name_ = "endless";
};

TEST(Layer, WhoseIndexIsHugeIsReadNoFurtherThanItHolds) {
  const auto file = std::make_shared<EndlessIndex>(
      std::vector<Mapping>{Mapping::zeros({0, 8}, 8), Mapping::zeros({8, 8}, 8)}, 16'000'000);
  EXPECT_EQ(refusal_of([&] { static_cast<void>(open_read_only_layer(file)); }),
            "endless: index entry 2 overlaps the one before or is out of order: sector 0");
  EXPECT_LE(file->bytes_read(), std::uint64_t{2} << 20);
}

// Of the process, in bytes: the most since `forget_peak`.
std::uint64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

TEST(Layer, WhoseIndexMapsNothingTakesNoMemoryForIt) {
  constexpr std::uint64_t kCount = 8'000'000;
  for (const Mapping& nothing : {Mapping(), Mapping::zeros({0, 0}, 0)}) {
    const auto file = std::make_shared<EndlessIndex>(std::vector<Mapping>{nothing}, kCount);
    forget_peak();
    const std::uint64_t before = peak_memory();
    EXPECT_TRUE(open_read_only_layer(file).mappings.empty());
    EXPECT_EQ(file->bytes_read(), kCount * sizeof(Mapping));
    EXPECT_LE(peak_memory() - before, kCount * sizeof(Mapping) / 4);
  }
}

TEST(Layer, OfMoreMappingsThanAreReadAtOnceHasEachOfThem) {
  constexpr std::uint64_t kCount = 1'200'000;
  std::vector<Mapping> entries;
  for (std::uint64_t at = 0; at < kCount; ++at) {
    entries.push_back(Mapping::zeros({at * 7, at % 7}, 8));  // each seventh maps nothing
  }
  const ReadOnlyLayer layer =
      open_read_only_layer(std::make_shared<EndlessIndex>(entries, entries.size()));
  std::erase_if(entries, [](const Mapping& entry) { return entry.count() == 0; });
  ASSERT_EQ(layer.mappings.size(), entries.size());
  EXPECT_TRUE(std::ranges::equal(layer.mappings, entries));
}

TEST(Layer, IsNotWrittenWhenReadersWouldRefuseIt) {
  Source source;
  for (std::uint64_t at = 0; at < 300; ++at) source.data(at * 2, filled(512, 'x'));
  EXPECT_NE(refusal_of([&] { layer_of(source, {.virtual_size = 1 << 20, .mappings_max = 511}); }),
            "");
  EXPECT_EQ(refusal_of([&] { layer_of(source, {.virtual_size = 1 << 20, .mappings_max = 512}); }),
            "");
  LayerOptions long_tag{.virtual_size = 1 << 20};
  long_tag.user_tag = std::string(257, 'x');
  EXPECT_NE(refusal_of([&] { layer_of(source, long_tag); }), "");
}

TEST(Layer, WhoseOutputFailsIsGivenUpWithThatError) {
  const MemoryFile file(Bytes(1 << 20));
  MappingArray mappings(1);
  mappings.push_back(Mapping::data({0, 1024}, 8));
  std::size_t room = 4096;
  try {
    write_layer(
        mappings, [&file](unsigned) -> const io::File& { return file; },
        {.virtual_size = 1 << 20}, [&room](std::span<const std::byte> bytes) {
          if (bytes.size() > room) return -ENOSPC;
          room -= bytes.size();
          return 0;
        });
    FAIL() << "wrote more than there was room for";
  } catch (const io::FormatError& error) {
    EXPECT_EQ(error.error(), ENOSPC);
  }
}

TEST(Layer, LongRunsAreCutAsUpstreamCutsThem) {
  Source source;
  for (std::uint64_t at = 0; at < 5; ++at) source.data(at * 8192, Bytes(std::size_t{4} << 20));
  const ReadOnlyLayer layer = open_layer(layer_of(source, {.virtual_size = 20 << 20}));
  std::vector<std::uint64_t> counts;
  for (const Mapping& mapping : layer.mappings) counts.push_back(mapping.count());
  EXPECT_EQ(counts, (std::vector<std::uint64_t>{16320, 16320, 8320}));
}

TEST(Uuid, IsReadInEitherCaseAndNothingElse) {
  EXPECT_EQ(parse_uuid("f672a59f-7b84-45a1-a28e-0256f9ad8f24"),
            "F672A59F-7B84-45A1-A28E-0256F9AD8F24");
  EXPECT_FALSE(parse_uuid("f672a59f-7b84-45a1-a28e-0256f9ad8f2").has_value());
  EXPECT_FALSE(parse_uuid("f672a59f-7b84-45a1-a28e-0256f9ad8g24").has_value());
  EXPECT_FALSE(parse_uuid("f672a59f07b84-45a1-a28e-0256f9ad8f24").has_value());
  const Uuid made = random_uuid();
  EXPECT_EQ(parse_uuid(made), made);
  EXPECT_NE(random_uuid(), made);
}

TEST(UuidChain, NamesEachLayerThatLiesOnAnotherThanItExpects) {
  const Uuid first = random_uuid();
  const Uuid second = random_uuid();
  const auto layer = [](const Uuid& uuid, const Uuid& parent) {
    return layer_of(Source(), {.virtual_size = 4096, .uuid = uuid, .parent_uuid = parent});
  };
  EXPECT_TRUE(chain_defects(stack_of({layer(first, ""), layer(second, first)})->layers()).empty());
  EXPECT_EQ(chain_defects(stack_of({layer(first, ""), layer("", second)})->layers()).size(), 1U);
  EXPECT_EQ(chain_defects(stack_of({layer("", ""), layer("", second)})->layers()).size(), 1U);
}

}  // namespace varve::test
