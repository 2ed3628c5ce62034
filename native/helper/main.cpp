// varve-helper: does what can block, one request at a time, so that the service itself never blocks.
//
// Reads one JSON object a line from standard input, writes one reply line for each to standard
// output, and ends when standard input ends. Its owner kills it at a deadline, so it must hold
// nothing that outlives it: no descriptor but the three standard ones, no lock, no child.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "helper/operations.h"

namespace {

constexpr size_t kLineBytesMax = 1024 * 1024;

// A missing standard descriptor would be taken by the first file opened, and replies written to it.
void hold_standard_descriptors() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < 2) fd = ::dup(fd);
  ::close_range(3, ~0U, 0);
}

// Ending on input's end is the only way to be stopped gently: a signal meant for the service's
// process group must not cut an operation that the service still waits for.
void ignore_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
}

// Output, not input: a request that came in with the end of input is still wanted by whoever reads.
void exit_if_abandoned() {
  pollfd output = {STDOUT_FILENO, 0, 0};
  if (::poll(&output, 1, 0) > 0 && (output.revents & (POLLHUP | POLLERR)) != 0) ::_exit(0);
}

bool write_line(std::string line) {
  line += '\n';
  for (size_t offset = 0; offset < line.size();) {
    const ssize_t written = ::write(STDOUT_FILENO, line.data() + offset, line.size() - offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    offset += static_cast<size_t>(written);
  }
  return true;
}

class LineReader {
 public:
  // False at the end of input. A line over the limit is cut, which makes it invalid JSON.
  bool next(std::string& line) {
    line.clear();
    for (;;) {
      const char* begin = buffer_ + used_;
      const size_t available = filled_ - used_;
      const void* end = std::memchr(begin, '\n', available);
      const size_t length =
          end == nullptr ? available : static_cast<size_t>(static_cast<const char*>(end) - begin);
      if (line.size() <= kLineBytesMax) line.append(begin, length);
      if (end != nullptr) {
        used_ += length + 1;
        if (line.size() > kLineBytesMax) line.resize(1);
        return true;
      }
      used_ = 0;
      filled_ = 0;
      ssize_t count = 0;
      do {
        count = ::read(STDIN_FILENO, buffer_, sizeof buffer_);
      } while (count < 0 && errno == EINTR);
      if (count <= 0) return false;
      filled_ = static_cast<size_t>(count);
    }
  }

 private:
  char buffer_[65536];
  size_t used_ = 0;
  size_t filled_ = 0;
};

}  // namespace

int main(int argument_count, char** arguments) {
  const bool is_test = argument_count == 2 && std::strcmp(arguments[1], "--test") == 0;
  if (argument_count > 1 && !is_test) return 2;
  hold_standard_descriptors();
  ignore_signals();
  ::umask(022);
  // Standing in a directory would keep its file system from being unmounted.
  if (::chdir("/") != 0) return 1;
  static LineReader reader;
  std::string line;
  while (reader.next(line)) {
    if (!write_line(varve::answer(line, is_test, exit_if_abandoned))) return 0;
  }
  return 0;
}
