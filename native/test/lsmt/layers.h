// What the tests of layers share: golden layers, layers made in memory, reading a whole disk.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lsmt/layer_writer.h"
#include "lsmt/read_only_stack.h"
#include "test/layer_fixtures.h"
#include "test/memory_file.h"
#include "test/refusal.h"

namespace varve::test {

inline Bytes filled(std::size_t length, unsigned char with) {
  return Bytes(length, static_cast<std::byte>(with));
}

// Gathers what is written.
inline lsmt::Output into(Bytes& bytes) {
  return [&bytes](std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return 0;
  };
}

inline lsmt::ReadOnlyLayer open_layer(Bytes bytes) {
  return lsmt::open_read_only_layer(std::make_shared<MemoryFile>(std::move(bytes)));
}

// A stack of finished layers, lowest first.
std::unique_ptr<lsmt::ReadOnlyStack> stack_of(const std::vector<Bytes>& layers);

}  // namespace varve::test
