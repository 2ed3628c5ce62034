// The recorded layers in test/fixtures/layers, and bytes to make other ones of.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "sha256/sha256.h"

namespace varve::test {

using Bytes = std::vector<std::byte>;

// The path of a recorded file, such as "zfile/lz4-4k".
std::string fixture_path(const std::string& name);
// Its bytes.
Bytes fixture(const std::string& name);

// The whole of a file; a failed read fails the test.
Bytes read_all(const std::string& path);
Bytes read_all(const io::File& file);
nlohmann::json read_json(const std::string& path);

// The SHA-256 of a range, read in pieces of 1 MiB; a failed read fails the test.
std::string sha256_of(const io::File& disk, std::uint64_t offset, std::uint64_t length);
// Holds a disk against an expected.json: size, ranges, and the whole where the file has its sum.
void expect_content(const io::File& disk, const nlohmann::json& expected);

// `length` bytes that compress to about half, the same for the same seed.
Bytes some_content(std::size_t length, std::uint64_t seed);

// The same, which do not compress.
Bytes noise(std::size_t length, std::uint64_t seed);

}  // namespace varve::test
