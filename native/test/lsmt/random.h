// Random choices of a test, repeatable by their seed, and how long tests with them run.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace varve::test {

// VARVE_SEED repeats a run; without it each run is another.
inline std::uint64_t choose_seed() {
  const char* given = std::getenv("VARVE_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("[     seed ] VARVE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);  // also of a run that crashes
  return seed;
}

inline bool is_long_form() {
  const char* set = std::getenv("VARVE_LONG");
  return set != nullptr && std::string(set) == "1";
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  // Inclusive.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint64_t count) { return below(count) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace varve::test
