#include "bd/metrics.h"

#include <bit>
#include <numeric>

namespace varve::bd {

namespace {

// Threads take their sets in turn.
std::size_t own_set(std::size_t sets) noexcept {
  static std::atomic<std::size_t> next = 0;
  thread_local const std::size_t own = next.fetch_add(1, std::memory_order_relaxed);
  return own % sets;
}

void add(std::atomic<std::uint64_t>& cell, std::uint64_t amount) noexcept {
  cell.fetch_add(amount, std::memory_order_relaxed);
}

}  // namespace

const char* name_of(Counted kind) noexcept {
  switch (kind) {
    case Counted::kRead: return "read";
    case Counted::kWrite: return "write";
    case Counted::kDiscard: return "discard";
    case Counted::kWriteZeroes: return "writeZeroes";
    case Counted::kFlush: return "flush";
  }
  return "";
}

std::size_t latency_bucket(std::uint64_t duration_ns) noexcept {
  if (duration_ns <= 1000) return 0;
  // The first power of two that is not below the microseconds, rounded up.
  const std::uint64_t duration_us = (duration_ns - 1) / 1000 + 1;
  const auto bucket = static_cast<std::size_t>(std::bit_width(duration_us - 1));
  return bucket < kLatencyBounds ? bucket : kLatencyBounds;
}

std::uint64_t Counts::requests() const noexcept {
  return std::accumulate(latency.begin(), latency.end(), std::uint64_t{0});
}

void DeviceMetrics::count(Counted kind, std::uint64_t bytes, std::uint64_t duration_ns,
                          bool has_failed) noexcept {
  Cells& cells = sets_[own_set(kSets)].kinds[static_cast<std::size_t>(kind)];
  add(cells.latency[latency_bucket(duration_ns)], 1);
  add(cells.duration_ns, duration_ns);
  if (has_failed) {
    add(cells.errors, 1);
  } else if (bytes > 0) {
    add(cells.bytes, bytes);
  }
}

Counts DeviceMetrics::read(Counted kind) const noexcept {
  Counts sum;
  for (const Set& set : sets_) {
    const Cells& cells = set.kinds[static_cast<std::size_t>(kind)];
    sum.bytes += cells.bytes.load(std::memory_order_relaxed);
    sum.errors += cells.errors.load(std::memory_order_relaxed);
    sum.duration_ns += cells.duration_ns.load(std::memory_order_relaxed);
    for (std::size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
      sum.latency[bucket] += cells.latency[bucket].load(std::memory_order_relaxed);
    }
  }
  return sum;
}

}  // namespace varve::bd
