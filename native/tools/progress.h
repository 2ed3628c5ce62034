// How far a long command is, on a terminal only: a line on standard error that is written over and
// gone in the end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace varve::tools {

class Progress {
 public:
  // `total` bytes are to be done, 0 if that is not known; `label` is the verb.
  Progress(std::string label, std::uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Bytes done so far; cheap enough to be told of each block.
  void show(std::uint64_t done);
  void add(std::uint64_t more) { show(done_ + more); }

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  bool is_shown_;
  bool is_drawn_ = false;
  Clock::time_point begin_;
  Clock::time_point next_;
};

// One such line: label, bar, share, amount and speed, in at most `width` columns. Without a total
// there is no bar and no share.
[[nodiscard]] std::string progress_line(const std::string& label, std::uint64_t done,
                                        std::uint64_t total, double seconds, std::size_t width);

}  // namespace varve::tools
