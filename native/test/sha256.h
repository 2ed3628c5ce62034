// SHA-256, for the sums that the golden layers come with.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace varve::test {

// In lower-case hexadecimal digits.
std::string sha256(std::span<const std::byte> bytes);

}  // namespace varve::test
