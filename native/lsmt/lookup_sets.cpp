#include "lsmt/lookup_sets.h"

#include <vector>

namespace varve::lsmt {

namespace {

std::vector<const LookupSet*> supported_sets() {
  std::vector<const LookupSet*> sets;
#ifdef __x86_64__
  // The compiler's check includes the operating system's: it must save the wide registers.
  const bool has_bits = __builtin_cpu_supports("popcnt") != 0 && __builtin_cpu_supports("bmi2") != 0;
  if (has_bits && __builtin_cpu_supports("avx512f") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0) {
    sets.push_back(&kAvx512Lookups);
  }
  if (has_bits && __builtin_cpu_supports("avx2") != 0) sets.push_back(&kAvx2Lookups);
#endif
  sets.push_back(&kScalarLookups);
  return sets;
}

}  // namespace

std::span<const LookupSet* const> lookup_sets() {
  static const std::vector<const LookupSet*> sets = supported_sets();
  return sets;
}

}  // namespace varve::lsmt
