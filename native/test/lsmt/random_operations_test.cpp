// A model of a disk under random operations against stacks of layers with a writable one on top.
#include <algorithm>

#include "lsmt/overlay.h"
#include "test/lsmt/random.h"
#include "test/lsmt/writable_layers.h"
#include "tools/lsmt_check.h"

namespace varve::test {
namespace {

using namespace lsmt;

constexpr const char* kTag = "a layer of the test";

struct Kind {
  const char* name = "";
  bool is_sparse = false;
  // Finished layers below the writable one; then they are merged, if not before.
  std::size_t layers_max = 7;
  bool is_merged_only_then = false;
  std::uint64_t operations = 0;
  std::uint64_t operations_long = 0;
};

// A disk as one piece of memory, against the stack under test.
class DiskModel {
 public:
  static constexpr std::uint64_t kSizeMax = 512 * kSectorSize;

  DiskModel(Random& random, const Kind& kind) : random_(random), kind_(kind) { begin_layer(); }

  [[nodiscard]] std::size_t layers_at_most() const { return layers_at_most_; }

  // One random operation and a look at a random part.
  void step(std::uint64_t number) {
    const std::uint64_t kind = random_.below(1000);
    if (kind < 600) {
      write();
    } else if (kind < 750) {
      discard();
    } else if (kind < 850) {
      write_zeroes();
    } else if (kind < 960) {
      read();
    } else if (kind < 975) {
      reopen();
    } else if (kind < 983) {
      resize();
    } else if (kind < 993) {
      finish(number);
    } else if (kind >= 993 && kind_.is_merged_only_then) {
      read_everything();
    } else if (kind < 997) {
      merge_all();
    } else {
      merge_below();
    }
    read();
  }

  void read_everything() {
    ASSERT_EQ(stack_->size(), disk_.size());
    ASSERT_TRUE(read_all(*stack_) == disk_);
  }

 private:
  // Sectors of the disk; short ones mostly.
  io::ByteRange choose_range() {
    const std::uint64_t sectors = disk_.size() / kSectorSize;
    const std::uint64_t first = random_.below(sectors);
    const std::uint64_t longest = random_.one_in(20) ? sectors : 12;
    const std::uint64_t count = random_.between(1, std::min(longest, sectors - first));
    return {first * kSectorSize, count * kSectorSize};
  }

  std::ptrdiff_t place(std::uint64_t offset) { return static_cast<std::ptrdiff_t>(offset); }

  void write() {
    const io::ByteRange range = choose_range();
    Bytes bytes(range.length);
    const auto letter = static_cast<std::byte>(random_.below(256));
    std::fill(bytes.begin(), bytes.end(), letter);
    for (std::size_t at = 0; at < bytes.size(); at += kSectorSize) bytes[at] = std::byte(at / 512);
    ASSERT_EQ(stack_->upper().write(bytes, range.offset), 0);
    std::copy(bytes.begin(), bytes.end(), disk_.begin() + place(range.offset));
  }

  void discard() {
    const io::ByteRange range = choose_range();
    ASSERT_EQ(stack_->upper().discard(range), 0);
    std::fill_n(disk_.begin() + place(range.offset), range.length, std::byte{});
  }

  void write_zeroes() {
    const io::ByteRange range = choose_range();
    ASSERT_EQ(stack_->upper().write_zeroes(range), 0);
    std::fill_n(disk_.begin() + place(range.offset), range.length, std::byte{});
  }

  void read() {
    const std::uint64_t offset = random_.below(disk_.size());
    Bytes bytes(random_.between(0, std::min<std::uint64_t>(disk_.size() - offset, 8192)));
    ASSERT_EQ(stack_->read(bytes, offset), 0);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), disk_.begin() + place(offset)));
  }

  // As another process would find the files after this one was killed.
  void reopen() {
    const int error = random_.one_in(2) ? stack_->upper().flush() : 0;
    ASSERT_EQ(error, 0);
    files_ = files_.copy();
    stack_ = on_top(files_.open(), lower());
    ASSERT_EQ(stack_->upper().header().uuid, uuid_);
    ASSERT_EQ(stack_->upper().header().user_tag, kTag);
    read_everything();
  }

  void resize() {
    const std::uint64_t size = random_.between(1, kSizeMax / kSectorSize) * kSectorSize;
    ASSERT_EQ(stack_->upper().resize(size), 0);
    // What was cut off reads as zeros; what never was on the disk, as what lies below.
    if (size > disk_.size()) {
      const std::uint64_t before = disk_.size();
      disk_.resize(size);
      Bytes grown(size - before);
      ASSERT_EQ(stack_->read(grown, before), 0);
      for (std::size_t at = 0; at < grown.size(); ++at) {
        ASSERT_TRUE(grown[at] == std::byte{} || before + at >= smallest_);
      }
      std::copy(grown.begin(), grown.end(), disk_.begin() + place(before));
    }
    disk_.resize(size);
    smallest_ = std::min(smallest_, size);
    largest_ = std::max(largest_, size);
  }

  // The writable layer becomes a finished one, and a new one lies on it.
  void finish(std::uint64_t number) {
    // What was cut off leaves zeros behind the end, which are finished as well.
    if (random_.one_in(3)) resize();
    const std::uint64_t entries = stack_->upper().mapping_count();
    if (random_.one_in(2)) {
      // In the chain it has the place that it had while it was written.
      lower_.push_back(committed(stack_->upper(), {.uuid = uuid_, .user_tag = kTag}));
    } else {
      stack_->upper().seal();
      read_everything();
      lower_.push_back(files_.data->bytes);
      // But for those behind the end that hide nothing.
      const std::uint64_t sealed = open_layer(lower_.back()).mappings.size();
      ASSERT_TRUE(sealed == entries || (sealed < entries && smallest_ < largest_))
          << "operation " << number;
    }
    check_rules();
    check_chain();
    if (lower_.size() == kind_.layers_max) {
      begin_layer_on(merged_below());
      return;
    }
    begin_layer();
  }

  // Those of the format, and that overlaybd takes it, too.
  void check_rules() {
    tools::Findings findings;
    const MemoryFile file(lower_.back());
    static_cast<void>(
        tools::check_finished_layer(file, {findings, tools::Within::kFile, 0}));
    for (const tools::Finding& finding : findings.kept()) {
      ASSERT_TRUE(finding.severity == tools::Severity::kNote &&
                  finding.text.find("overlaybd") == std::string::npos)
          << finding.text;
    }
  }

  void check_chain() {
    const ReadOnlyLayer layer = open_layer(lower_.back());
    ASSERT_EQ(layer.trailer.uuid, uuid_);
    ASSERT_EQ(layer.trailer.parent_uuid, parent_uuid_);
    ASSERT_EQ(layer.trailer.user_tag, kTag);
    ASSERT_EQ(layer.trailer.virtual_size, disk_.size());
    layers_at_most_ = std::max(layers_at_most_, lower_.size());
  }

  void merge_all() {
    Bytes merged;
    stack_->merge({}, into(merged));
    ASSERT_EQ(open_layer(merged).trailer.parent_uuid, "");
    begin_layer_on(std::move(merged));
  }

  void merge_below() {
    if (lower_.empty()) return;
    Bytes merged = merged_below();
    lower_.clear();
    lower_.push_back(std::move(merged));
    files_ = files_.copy();
    stack_ = on_top(files_.open(), lower());
    read_everything();
  }

  Bytes merged_below() {
    Bytes merged;
    merge_stack(*lower(), {}, into(merged));
    return merged;
  }

  void begin_layer_on(Bytes merged) {
    lower_.clear();
    lower_.push_back(std::move(merged));
    begin_layer();
  }

  void begin_layer() {
    files_ = LayerFiles();
    smallest_ = disk_.size();
    largest_ = disk_.size();
    parent_uuid_ = lower_.empty() ? Uuid() : open_layer(lower_.back()).trailer.uuid;
    uuid_ = random_uuid();
    stack_ = on_top(files_.create({.virtual_size = disk_.size(),
                                   .is_sparse = kind_.is_sparse,
                                   .uuid = uuid_,
                                   .parent_uuid = parent_uuid_,
                                   .user_tag = kTag}),
                    lower());
    read_everything();
  }

  std::shared_ptr<const ReadOnlyStack> lower() {
    if (lower_.empty()) return nullptr;
    return stack_of(lower_);
  }

  Random& random_;
  Kind kind_;
  Bytes disk_ = Bytes(kSizeMax);
  // How small and how large the disk was since the writable layer began.
  std::uint64_t smallest_ = kSizeMax;
  std::uint64_t largest_ = kSizeMax;
  std::vector<Bytes> lower_;
  std::size_t layers_at_most_ = 0;
  Uuid uuid_;  // of the writable layer
  Uuid parent_uuid_;
  LayerFiles files_;
  std::unique_ptr<WritableStack> stack_;
};

class RandomOperations : public testing::TestWithParam<Kind> {};

TEST_P(RandomOperations, LeaveWhatAPlainDiskWouldHold) {
  Random random(choose_seed());
  const Kind& kind = GetParam();
  const std::uint64_t operations = is_long_form() ? kind.operations_long : kind.operations;
  DiskModel model(random, kind);
  for (std::uint64_t number = 0; number < operations; ++number) {
    ASSERT_NO_FATAL_FAILURE(model.step(number)) << "operation " << number;
  }
  model.read_everything();
  EXPECT_EQ(model.layers_at_most(), kind.layers_max);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, RandomOperations,
    testing::Values(Kind{"AppendOnly", false, 7, false, 150'000, 2'000'000},
                    Kind{"Sparse", true, 7, false, 150'000, 2'000'000},
                    // As many layers as a stack can have.
                    Kind{"Tall", false, kStackLayersMax, true, 40'000, 400'000}),
    [](const auto& kind) { return kind.param.name; });

// A disk on which one write, discard or run of data is longer than a mapping and than the buffers
// on the way. What a sector holds is a number.
class LargeDisk : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::uint64_t kSectors = 40'000;
  static constexpr std::size_t kWords = kSectorSize / sizeof(std::uint32_t);

  io::ByteRange choose_range() {
    const std::uint64_t first = random_.below(kSectors);
    const std::uint64_t longest = random_.one_in(4) ? std::uint64_t{35'000} : 300;
    return {first, random_.between(1, std::min(longest, kSectors - first))};
  }

  void write(const io::ByteRange& range) {
    std::vector<std::uint32_t> words(range.length * kWords);
    for (std::uint64_t at = 0; at < range.length; ++at) {
      disk_[range.offset + at] = ++last_;
      std::fill_n(words.begin() + static_cast<std::ptrdiff_t>(at * kWords), kWords, last_);
    }
    ASSERT_EQ(stack_->upper().write(std::as_bytes(std::span(words)), range.offset * kSectorSize), 0);
  }

  void clear(const io::ByteRange& range, bool is_discard) {
    const io::ByteRange bytes{range.offset * kSectorSize, range.length * kSectorSize};
    WritableLayer& upper = stack_->upper();
    ASSERT_EQ(is_discard ? upper.discard(bytes) : upper.write_zeroes(bytes), 0);
    std::fill_n(disk_.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length, 0);
  }

  void read(const io::ByteRange& range) {
    std::vector<std::uint32_t> words(range.length * kWords);
    ASSERT_EQ(stack_->read(std::as_writable_bytes(std::span(words)), range.offset * kSectorSize),
              0);
    for (std::uint64_t at = 0; at < words.size(); ++at) {
      ASSERT_EQ(words[at], disk_[range.offset + at / kWords]) << "sector " << at / kWords;
    }
  }

  void begin_layer() {
    files_ = LayerFiles();
    stack_ = on_top(files_.create({.virtual_size = kSectors * kSectorSize,
                                   .is_sparse = GetParam()}),
                    lower_.empty() ? nullptr : stack_of(lower_));
  }

  // The layer, or all that there is, becomes a finished one.
  void finish() {
    const std::uint64_t how = random_.below(3);
    if (how == 0) {
      stack_->upper().seal();
      lower_.push_back(files_.data->bytes);
    } else if (how == 1) {
      lower_.push_back(committed(stack_->upper()));
    } else {
      Bytes merged;
      stack_->merge({}, into(merged));
      lower_ = {std::move(merged)};
    }
    begin_layer();
    read({0, kSectors});
  }

  void reopen() {
    files_ = files_.copy();
    stack_ = on_top(files_.open(), lower_.empty() ? nullptr : stack_of(lower_));
    read({0, kSectors});
  }

  Random random_{0};
  std::uint32_t last_ = 0;
  std::vector<std::uint32_t> disk_ = std::vector<std::uint32_t>(kSectors);
  std::vector<Bytes> lower_;
  LayerFiles files_;
  std::unique_ptr<WritableStack> stack_;
};

TEST_P(LargeDisk, HoldsWhatRandomOperationsWithLongRangesLeave) {
  random_ = Random(choose_seed());
  begin_layer();
  const std::uint64_t operations = is_long_form() ? 10'000 : 200;
  for (std::uint64_t number = 0; number < operations; ++number) {
    SCOPED_TRACE("operation " + std::to_string(number));
    const std::uint64_t kind = random_.below(100);
    const io::ByteRange range = choose_range();
    if (kind < 55) {
      ASSERT_NO_FATAL_FAILURE(write(range));
    } else if (kind < 85) {
      ASSERT_NO_FATAL_FAILURE(clear(range, kind < 70));
    } else if (kind < 96) {
      ASSERT_NO_FATAL_FAILURE(reopen());
    } else {
      ASSERT_NO_FATAL_FAILURE(finish());
    }
    ASSERT_NO_FATAL_FAILURE(read(range));
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, LargeDisk, testing::Bool(), [](const auto& is_sparse) {
  return is_sparse.param ? "Sparse" : "AppendOnly";
});

// Sealing takes away what a torn append left, whose end would else stand where the trailer belongs.
TEST(Append, IsSealedOverATornAppend) {
  const LayerFiles files;
  const auto layer = files.create({.virtual_size = 8192});
  ASSERT_EQ(layer->write(filled(4096, 'a'), 0), 0);
  files.data->bytes.resize(files.data->bytes.size() + 65536, std::byte{'?'});
  layer->seal();
  Bytes expected = filled(4096, 'a');
  expected.resize(8192);
  EXPECT_TRUE(read_all(*stack_of({files.data->bytes})) == expected);
}

}  // namespace
}  // namespace varve::test
