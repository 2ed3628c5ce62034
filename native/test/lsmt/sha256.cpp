#include "test/lsmt/sha256.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace varve::test {

namespace {

// The constants are the fractions of roots of the first primes.
struct Constants {
  std::array<std::uint32_t, 8> start{};
  std::array<std::uint32_t, 64> round{};

  Constants() {
    std::size_t found = 0;
    for (unsigned number = 2; found < round.size(); ++number) {
      bool is_prime = true;
      for (unsigned divisor = 2; divisor * divisor <= number; ++divisor) {
        is_prime = is_prime && number % divisor != 0;
      }
      if (!is_prime) continue;
      if (found < start.size()) start[found] = fraction(std::sqrt(static_cast<long double>(number)));
      round[found++] = fraction(std::cbrt(static_cast<long double>(number)));
    }
  }

  static std::uint32_t fraction(long double value) {
    return static_cast<std::uint32_t>((value - std::floor(value)) * 4294967296.0L);
  }
};

void mix(std::array<std::uint32_t, 8>& state, const std::byte* block, const Constants& constants) {
  std::array<std::uint32_t, 64> words{};
  for (std::size_t at = 0; at < 16; ++at) {
    std::uint32_t word = 0;
    std::memcpy(&word, block + at * 4, 4);
    words[at] = __builtin_bswap32(word);
  }
  for (std::size_t at = 16; at < 64; ++at) {
    const std::uint32_t a = words[at - 15];
    const std::uint32_t b = words[at - 2];
    words[at] = words[at - 16] + words[at - 7] +
                (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) +
                (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t at = 0; at < 64; ++at) {
    const std::uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                              ((e & f) ^ (~e & g)) + constants.round[at] + words[at];
    const std::uint32_t two = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) +
                              ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + one;
    d = c;
    c = b;
    b = a;
    a = one + two;
  }
  const std::array<std::uint32_t, 8> mixed = {a, b, c, d, e, f, g, h};
  for (std::size_t at = 0; at < 8; ++at) state[at] += mixed[at];
}

}  // namespace

std::string sha256(std::span<const std::byte> bytes) {
  static const Constants constants;
  std::array<std::uint32_t, 8> state = constants.start;
  std::size_t at = 0;
  for (; at + 64 <= bytes.size(); at += 64) mix(state, &bytes[at], constants);
  std::vector<std::byte> tail(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end());
  tail.push_back(std::byte{0x80});
  while (tail.size() % 64 != 56) tail.push_back(std::byte{});
  for (int shift = 56; shift >= 0; shift -= 8) {
    tail.push_back(static_cast<std::byte>(bytes.size() * 8 >> shift));
  }
  for (at = 0; at < tail.size(); at += 64) mix(state, &tail[at], constants);
  std::string text;
  for (const std::uint32_t word : state) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  }
  return text;
}

}  // namespace varve::test
