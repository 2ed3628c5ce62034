// What is counted for each device. Counting is lock-free and costs less than half a microsecond a
// request, most of it for reading the clock twice: each thread counts in one of a few sets, and a
// reader adds them up. A reading is not of one instant, but no count ever goes back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace varve::bd {

enum class Counted : std::size_t { kRead, kWrite, kDiscard, kWriteZeroes, kFlush };
inline constexpr std::size_t kCountedKinds = 5;
// As the protocol and the metrics call it.
const char* name_of(Counted kind) noexcept;

// Requests that took at most 1, 2, 4 ... 2^24 microseconds (17 s), and those that took longer.
inline constexpr std::size_t kLatencyBounds = 25;
inline constexpr std::size_t kLatencyBuckets = kLatencyBounds + 1;
constexpr std::uint64_t latency_bound_us(std::size_t bucket) { return std::uint64_t{1} << bucket; }
// The bucket of a duration.
std::size_t latency_bucket(std::uint64_t duration_ns) noexcept;

struct Counts {
  std::uint64_t bytes = 0;  // of requests that succeeded; none for a flush
  std::uint64_t errors = 0;
  std::uint64_t duration_ns = 0;
  std::array<std::uint64_t, kLatencyBuckets> latency{};  // requests, failed ones too

  [[nodiscard]] std::uint64_t requests() const noexcept;
};

class DeviceMetrics {
 public:
  void count(Counted kind, std::uint64_t bytes, std::uint64_t duration_ns,
             bool has_failed) noexcept;
  void count_damage() noexcept { damage_.fetch_add(1, std::memory_order_relaxed); }

  [[nodiscard]] Counts read(Counted kind) const noexcept;
  [[nodiscard]] std::uint64_t damage() const noexcept {
    return damage_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kSets = 8;

  struct Cells {
    std::atomic<std::uint64_t> bytes = 0;
    std::atomic<std::uint64_t> errors = 0;
    std::atomic<std::uint64_t> duration_ns = 0;
    std::array<std::atomic<std::uint64_t>, kLatencyBuckets> latency{};
  };
  // Sets of different threads share no cache line.
  struct alignas(64) Set {
    std::array<Cells, kCountedKinds> kinds;
  };

  std::array<Set, kSets> sets_;
  std::atomic<std::uint64_t> damage_ = 0;
};

}  // namespace varve::bd
