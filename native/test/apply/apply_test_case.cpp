#include "test/apply/apply_test_case.h"

namespace varve::test {

void ApplyTestCase::make_disk(std::uint64_t size) const {
  const auto file = io::open_writable_file(image(), false);
  ASSERT_EQ(file->resize(0), 0);
  ASSERT_EQ(file->resize(size), 0);
}

apply::ApplyResult ApplyTestCase::apply(const std::string& tar, bool makes_file_system,
                                        const std::string& checksum) const {
  apply::FileStore store(io::open_writable_file(image(), false));
  apply::ApplyOptions options;
  options.makes_file_system = makes_file_system;
  options.checksum = checksum;
  return apply::apply_tar(stream_of(tar), "layer.tar", store, options);
}

std::string ApplyTestCase::refusal(const std::string& tar) const {
  try {
    apply(tar);
  } catch (const apply::ApplyError& error) {
    return error.what();
  }
  return "";
}

void ApplyTestCase::make_empty() const {
  make_disk(std::uint64_t{64} << 20);
  apply(TarBuilder().finish(), true);
}

Listing ApplyTestCase::files() const {
  EXPECT_EQ(check_file_system(image()), "");
  const Mounted mounted(image(), at("mnt"));
  EXPECT_TRUE(mounted.is_mounted());
  return mounted.is_mounted() ? list_files(at("mnt")) : Listing();
}

}  // namespace varve::test
