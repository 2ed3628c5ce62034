// How far a long command is: on a terminal a line on standard error that is written over and gone in
// the end, and for a program lines of JSON on a descriptor of its choice.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace varve::tools {

// Tells programs, too, from now on. Throws Misuse for a descriptor that cannot be written.
void report_progress_to(int descriptor);

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

  void draw(Clock::time_point now);
  void report();

  std::string label_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::uint64_t reported_ = 0;
  bool is_shown_;
  bool is_drawn_ = false;
  Clock::time_point begin_;
  Clock::time_point next_drawn_;
  Clock::time_point next_reported_;
};

// One such line: label, bar, share, amount and speed, in at most `width` columns. Without a total
// there is no bar and no share.
[[nodiscard]] std::string progress_line(const std::string& label, std::uint64_t done,
                                        std::uint64_t total, double seconds, std::size_t width);

// The same for a program, with its end of line. Without a total that is null.
[[nodiscard]] std::string progress_json(const std::string& label, std::uint64_t done,
                                        std::uint64_t total);

}  // namespace varve::tools
