#include "test/lsmt/layers.h"

namespace varve::test {

std::unique_ptr<lsmt::ReadOnlyStack> stack_of(const std::vector<Bytes>& layers) {
  std::vector<lsmt::ReadOnlyLayer> opened;
  for (const Bytes& layer : layers) opened.push_back(open_layer(layer));
  return std::make_unique<lsmt::ReadOnlyStack>(std::move(opened), "stack");
}

}  // namespace varve::test
