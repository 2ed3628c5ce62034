// Damage anywhere, in the archive or in the file system: an error or a result, never a crash.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "test/apply/apply_test_case.h"
#include "test/memory_file.h"
#include "test/lsmt/random.h"

namespace varve::test {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kDiskSize = std::size_t{8} << 20;

using Bytes = std::vector<std::byte>;

class DamageTest : public ApplyTestCase {
 protected:
  std::uint64_t rounds_ = is_long_form() ? 10'000 : 200;
  std::uint64_t first_ = choose_seed();
  std::uint64_t succeeded_ = 0;
  std::uint64_t refused_ = 0;

  // The disk afterwards; empty if the tar was refused.
  Bytes apply_to(const Bytes& disk, const std::string& tar, bool makes_file_system = false) {
    apply::FileStore store(std::make_unique<MemoryFile>(disk));
    apply::ApplyOptions options;
    options.makes_file_system = makes_file_system;
    try {
      apply::apply_tar(stream_of(tar), "layer.tar", store, options);
    } catch (const apply::ApplyError& error) {
      EXPECT_STRNE(error.what(), "");
      ++refused_;
      return {};
    }
    ++succeeded_;
    Bytes changed(disk.size());
    EXPECT_EQ(store.read(changed, 0), 0);
    return changed;
  }

  [[nodiscard]] std::string check(const Bytes& disk) const {
    const auto file = io::open_writable_file(image(), false);
    EXPECT_EQ(file->resize(0), 0);
    EXPECT_EQ(file->write(disk, 0), 0);
    return check_file_system(image());
  }
};

Member of_type(const std::string& path, char type, const std::string& link = "") {
  Member member{path};
  member.type = type;
  member.link = link;
  if (type == '0') member.content = std::string(3000, 'c');
  member.xattrs = {{"user.name", "value"}, {"trusted.long", std::string(300, 'x')}};
  return member;
}

std::string some_tar() {
  TarBuilder tar;
  tar.add(of_type("d/", '5')).add(of_type("d/file", '0')).add(of_type("d/again", '1', "d/file"));
  tar.add(of_type("slow", '2', std::string(90, 's'))).add(of_type("fast", '2', "d"));
  tar.add(of_type("dev", '3')).add(of_type("pipe", '6')).add(of_type("fast/more", '0'));
  for (const std::string version : {"old", "0.1", "1.0"}) {
    tar.add_sparse(of_type("s" + version, '0'), 90'000,
                   {{4096, std::string(4096, 'p')}, {40'960, std::string(700, 'q')}}, version);
  }
  tar.add_long('L', std::string(180, 'g')).add(of_type("cut", '0'));
  for (unsigned at = 0; at < 150; ++at) {
    Member link{"many/" + std::to_string(at) + std::string(40, 'n')};
    link.type = '6';
    tar.add(link);
  }
  return tar.finish();
}

std::string second_tar() {
  TarBuilder tar;
  tar.add(of_type("d/.wh.file", '0')).add(of_type("many/.wh..wh..opq", '0'));
  tar.add(of_type("slow", '0')).add(of_type("d/", '5')).add(of_type("many/new", '0'));
  return tar.add(of_type("fast/file2", '0')).add(of_type("dev", '5')).finish();
}

// As tar sums a header, so that damage is not found by the sum alone.
void put_sum(std::string& tar, std::size_t block) {
  std::memset(tar.data() + block + 148, ' ', 8);
  unsigned sum = 0;
  for (std::size_t at = 0; at < kBlock; ++at) sum += static_cast<unsigned char>(tar[block + at]);
  std::snprintf(tar.data() + block + 148, 8, "%06o", sum);
}

bool is_header(const std::string& tar, std::size_t block) {
  return std::memcmp(tar.data() + block + 257, "ustar", 5) == 0;
}

TEST_F(DamageTest, OfAnArchive) {
  const Bytes empty = apply_to(Bytes(kDiskSize), TarBuilder().finish(), true);
  const std::string sound = some_tar();
  std::vector<std::size_t> headers;
  for (std::size_t block = 0; block < sound.size(); block += kBlock) {
    if (is_header(sound, block)) headers.push_back(block);
  }
  for (std::uint64_t round = 0; round < rounds_; ++round) {
    SCOPED_TRACE("VARVE_SEED=" + std::to_string(first_ + round));
    Random random(first_ + round);
    std::string tar = sound;
    for (std::uint64_t count = random.between(1, 3); count > 0; --count) {
      const std::size_t block = headers[random.below(headers.size())];
      tar[block + random.below(kBlock)] = static_cast<char>(random.below(256));
      put_sum(tar, block);
      // And of what extended headers and maps say.
      if (random.one_in(2)) tar[random.below(tar.size())] = static_cast<char>(random.below(256));
    }
    const Bytes disk = apply_to(empty, tar);
    if (disk.empty() || !random.one_in(20)) continue;
    ASSERT_EQ(check(disk), "");
  }
  EXPECT_GT(succeeded_, rounds_ / 20);
  EXPECT_GT(refused_, rounds_ / 20);
}

TEST_F(DamageTest, OfAFileSystem) {
  const Bytes sound = apply_to(Bytes(kDiskSize), some_tar(), true);
  ASSERT_FALSE(sound.empty());
  std::vector<std::size_t> used;
  for (std::size_t at = 0; at < sound.size(); at += 64) {
    if (std::any_of(sound.begin() + static_cast<std::ptrdiff_t>(at),
                    sound.begin() + static_cast<std::ptrdiff_t>(at + 64),
                    [](std::byte byte) { return byte != std::byte{0}; })) {
      used.push_back(at);
    }
  }
  const std::string tar = second_tar();
  for (std::uint64_t round = 0; round < rounds_; ++round) {
    SCOPED_TRACE("VARVE_SEED=" + std::to_string(first_ + round));
    Random random(first_ + round);
    Bytes disk = sound;
    for (std::uint64_t count = random.between(1, 8); count > 0; --count) {
      disk[used[random.below(used.size())] + random.below(64)] =
          static_cast<std::byte>(random.below(256));
    }
    apply_to(disk, tar);
  }
  EXPECT_GT(succeeded_, rounds_ / 20);
  EXPECT_GT(refused_, rounds_ / 20);
}

}  // namespace
}  // namespace varve::test
