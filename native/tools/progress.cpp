#include "tools/progress.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/amounts.h"
#include "tools/failure.h"

namespace varve::tools {

namespace {

constexpr std::chrono::milliseconds kInterval(100);
constexpr const char* kClearLine = "\r\033[K";

// Negative as long as no program wants to be told.
int report_descriptor = -1;

std::size_t terminal_width() {
  struct winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          double seconds, std::size_t width) {
  constexpr std::size_t kBarMax = 40;
  const bool has_total = total != 0;
  if (has_total) done = std::min(done, total);
  std::string text = has_total ? " " + share_text(done, total) + ", " : " ";
  text += size_text(done);
  if (has_total) text += " of " + size_text(total);
  if (seconds > 0) {
    const double speed = static_cast<double>(done) / seconds;
    text += ", " + size_text(static_cast<std::uint64_t>(speed)) + "/s";
  }
  std::string line = label;
  const std::size_t taken = line.size() + text.size() + 3;
  if (has_total && taken < width) {
    const std::size_t bar = std::min(kBarMax, width - taken);
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const auto filled = std::min(bar, static_cast<std::size_t>(share * static_cast<double>(bar)));
    line += " [" + std::string(filled, '=') + std::string(bar - filled, ' ') + "]";
  }
  line += text;
  return line.substr(0, width);
}

std::string progress_json(const std::string& label, std::uint64_t done, std::uint64_t total) {
  if (total != 0) done = std::min(done, total);
  nlohmann::ordered_json json = {{"work", label}, {"doneBytes", done}, {"totalBytes", nullptr}};
  if (total != 0) json["totalBytes"] = total;
  return json.dump() + "\n";
}

void report_progress_to(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
    throw Misuse("--progress-fd: descriptor " + std::to_string(descriptor) +
                 " is not open for writing");
  }
  // Whoever reads it may go away, and the work goes on.
  std::signal(SIGPIPE, SIG_IGN);
  report_descriptor = descriptor;
}

Progress::Progress(std::string label, std::uint64_t total)
    : label_(std::move(label)),
      total_(total),
      is_shown_(::isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      // What is done in a moment needs no bar.
      next_drawn_(begin_ + 3 * kInterval),
      next_reported_(begin_) {}

Progress::~Progress() {
  if (is_drawn_) std::fputs(kClearLine, stderr);
  if (done_ != reported_) report();
}

void Progress::show(std::uint64_t done) {
  done_ = done;
  if (!is_shown_ && report_descriptor < 0) return;
  const Clock::time_point now = Clock::now();
  if (is_shown_ && now >= next_drawn_) draw(now);
  if (now < next_reported_) return;
  next_reported_ = now + kInterval;
  report();
}

void Progress::draw(Clock::time_point now) {
  next_drawn_ = now + kInterval;
  is_drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  // The last column stays free: some terminals begin a new line behind it.
  const std::string line = progress_line(label_, done_, total_, seconds, terminal_width() - 1);
  std::fprintf(stderr, "%s%s", kClearLine, line.c_str());
}

void Progress::report() {
  if (report_descriptor < 0) return;
  reported_ = done_;
  const std::string line = progress_json(label_, done_, total_);
  // Shorter than what a pipe takes at once.
  if (::write(report_descriptor, line.data(), line.size()) < 0 && errno != EINTR) {
    report_descriptor = -1;
  }
}

}  // namespace varve::tools
