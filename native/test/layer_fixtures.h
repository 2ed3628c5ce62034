// The recorded layers in test/fixtures/layers, and bytes to make other ones of.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "test/sha256.h"

namespace varve::test {

// The path of a recorded file, such as "zfile/lz4-4k".
std::string fixture(const std::string& name);

std::vector<std::byte> read_all(const std::string& path);

// The whole of a file; a failed read fails the test.
std::vector<std::byte> read_all(const io::File& file);

// `length` bytes that compress to about half, the same for the same seed.
std::vector<std::byte> some_content(std::size_t length, std::uint64_t seed);

// The same, which do not compress.
std::vector<std::byte> noise(std::size_t length, std::uint64_t seed);

}  // namespace varve::test
