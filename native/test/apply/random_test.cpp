// Random trees in layers upon one another, held against a model; each in a layer of its own that
// is committed before the next.
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_stack.h"
#include "test/apply/apply_test_case.h"
#include "test/apply/tree_model.h"
#include "test/memory_file.h"
#include "test/lsmt/random.h"

namespace varve::test {
namespace {

constexpr std::uint64_t kDiskSize = std::uint64_t{64} << 20;

class RandomTest : public ApplyTestCase {
 protected:
  Random random_{0};

  std::uint64_t below(std::uint64_t limit) { return random_.below(limit); }

  std::string random_path() {
    std::string path;
    const std::uint64_t depth = 1 + below(4);
    for (std::uint64_t at = 0; at < depth; ++at) {
      if (at > 0) path += '/';
      path += static_cast<char>('a' + below(4));
      if (below(10) == 0) path += std::string(150, 'n');
    }
    return path;
  }

  std::string random_content() {
    std::string content(below(8) == 0 ? below(3'000'000) : below(10'000), '\0');
    for (char& byte : content) byte = static_cast<char>(below(256));
    return content;
  }

  Member random_member(const TreeModel& model) {
    Member member{random_path()};
    member.mode = static_cast<unsigned>(below(010000));
    member.uid = static_cast<std::uint32_t>(below(std::uint64_t{1} << 32));
    member.gid = static_cast<std::uint32_t>(below(1000));
    member.seconds = static_cast<std::int64_t>(below(4'000'000'000));
    member.nanoseconds = static_cast<std::uint32_t>(below(1'000'000'000));
    member.type = "0000025556311ww"[below(15)];
    for (std::uint64_t at = below(4); at > 1; --at) {
      member.xattrs["trusted.x" + std::to_string(at)] = std::string(below(400), 'v');
    }
    const std::size_t slash = member.path.rfind('/') + 1;
    switch (member.type) {
      case '0':
        member.content = random_content();
        break;
      case '1': {
        const std::vector<std::string> targets = model.linkable();
        member.link = targets.empty() ? "" : targets[below(targets.size())];
        member.xattrs.clear();
        break;
      }
      case '2':
        member.link = std::string(1 + below(120), 't');
        member.mode = 0777;
        break;
      case '3':
        member.major = static_cast<unsigned>(below(4096));
        member.minor = static_cast<unsigned>(below(1 << 20));
        break;
      case 'w':
        member = Member{member.path};
        if (below(3) == 0) {
          member.path = member.path.substr(0, slash) + ".wh..wh..opq";
        } else {
          member.path.insert(slash, ".wh.");
        }
        break;
      default:
        break;
    }
    return member;
  }

  std::string random_layer(TreeModel& model) {
    TarBuilder tar;
    model.begin_layer();
    for (std::uint64_t count = 5 + below(60); count > 0; --count) {
      const Member member = random_member(model);
      if (!model.takes(member)) continue;
      model.apply(member);
      tar.add(member);
    }
    return tar.finish();
  }
};

using Layers = std::vector<std::vector<std::byte>>;

std::shared_ptr<lsmt::ReadOnlyStack> stack_of_layers(const Layers& layers) {
  if (layers.empty()) return nullptr;
  std::vector<lsmt::ReadOnlyLayer> opened;
  for (const std::vector<std::byte>& layer : layers) {
    opened.push_back(lsmt::open_read_only_layer(std::make_shared<MemoryFile>(layer)));
  }
  return std::make_shared<lsmt::ReadOnlyStack>(std::move(opened), "stack");
}

// Applies a tar in a writable layer upon the others and commits it to them.
void add_layer(Layers& layers, const std::string& tar, bool is_sparse) {
  lsmt::NewLayer layer;
  layer.virtual_size = kDiskSize;
  layer.is_sparse = is_sparse;
  lsmt::WritableStack stack(
      lsmt::WritableLayer::create(std::make_unique<MemoryFile>(), std::make_unique<MemoryFile>(),
                                  layer),
      stack_of_layers(layers), "stack");
  apply::StackStore store(stack);
  apply::ApplyOptions options;
  options.makes_file_system = layers.empty();
  apply::apply_tar(stream_of(tar), "layer.tar", store, options);
  std::vector<std::byte> committed;
  stack.upper().commit({}, [&committed](std::span<const std::byte> more) {
    committed.insert(committed.end(), more.begin(), more.end());
    return 0;
  });
  layers.push_back(std::move(committed));
}

TEST_F(RandomTest, LayersUponOneAnotherAreWhatTheModelSays) {
  VARVE_NEEDS_ROOT();
  const std::uint64_t rounds = is_long_form() ? 400 : 12;
  const std::uint64_t first = choose_seed();
  for (std::uint64_t round = 0; round < rounds; ++round) {
    SCOPED_TRACE("VARVE_SEED=" + std::to_string(first + round));
    random_ = Random(first + round);
    TreeModel model;
    Layers layers;
    for (std::uint64_t count = 1 + below(5); count > 0; --count) {
      add_layer(layers, random_layer(model), below(2) == 0);
    }
    write_image(*stack_of_layers(layers), image());
    const std::string found = differences(files(), model.listing());
    ASSERT_EQ(found, "");
  }
}

TEST_F(RandomTest, OneLayerInAppendOnlyAndSparseFilesIsTheSame) {
  random_ = Random(7);
  TreeModel model;
  const std::string tar = random_layer(model);
  Layers one;
  Layers other;
  add_layer(one, tar, false);
  add_layer(other, tar, true);
  const auto content = [](const Layers& layers) {
    std::vector<std::byte> bytes(kDiskSize);
    EXPECT_EQ(stack_of_layers(layers)->read(bytes, 0), 0);
    return sha256(bytes);
  };
  EXPECT_EQ(content(one), content(other));
}

}  // namespace
}  // namespace varve::test
