// Checks of layers that the library itself wrote.
#include "tools/layer_check.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "io/file.h"
#include "lsmt/writable_layer.h"
#include "test/temporary_directory.h"

namespace varve::test {

class LayerCheckTest : public TemporaryDirectory {
 protected:
  [[nodiscard]] std::unique_ptr<lsmt::WritableLayer> make(bool is_sparse) const {
    lsmt::NewLayer layer;
    layer.virtual_size = 1 << 20;
    layer.is_sparse = is_sparse;
    return lsmt::WritableLayer::create(file("data"), file("index"), layer);
  }
  [[nodiscard]] std::unique_ptr<io::WritableFile> file(const std::string& name) const {
    return io::adopt_file(::open(at(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), name);
  }
  [[nodiscard]] std::uint64_t defects() const {
    return tools::check_layer(at("data"), at("index")).defects();
  }
};

TEST_F(LayerCheckTest, ADiskThatBecameSmallerIsSound) {
  for (const bool is_sparse : {false, true}) {
    const auto layer = make(is_sparse);
    const std::vector<std::byte> bytes(4096, std::byte{1});
    for (const std::uint64_t offset : {0U, 8192U, 524288U, 1044480U}) {
      ASSERT_EQ(layer->write(bytes, offset), 0);
    }
    ASSERT_EQ(layer->resize(65536), 0);
    EXPECT_EQ(defects(), 0U) << is_sparse;
    ASSERT_EQ(::unlink(at("data").c_str()) + ::unlink(at("index").c_str()), 0);
  }
}

TEST_F(LayerCheckTest, ASparseLayerThatLostItsEndIsNot) {
  const auto layer = make(true);
  const std::vector<std::byte> bytes(4096, std::byte{1});
  ASSERT_EQ(layer->write(bytes, 1044480), 0);
  EXPECT_EQ(defects(), 0U);
  ASSERT_EQ(::truncate(at("data").c_str(), 65536), 0);
  EXPECT_EQ(defects(), 1U);
}

}  // namespace varve::test
