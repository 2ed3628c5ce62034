#include "apply/byte_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "apply/apply_error.h"
#include "io/bytes.h"
#include "syscalls/unique_fd.h"

namespace varve::apply {

namespace {

class DescriptorStream final : public ByteStream {
 public:
  DescriptorStream(int descriptor, std::string name)
      : descriptor_(descriptor), name_(std::move(name)) {
    // Of a pipe this means nothing, and need not.
    static_cast<void>(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL));
  }

  std::size_t read(std::span<std::byte> destination) override {
    std::size_t done = 0;
    while (done < destination.size()) {
      const ssize_t got =
          ::read(descriptor_.get(), destination.data() + done, destination.size() - done);
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        const int error = errno;
        throw ApplyError(error, "cannot read " + name_ + ": " + io::error_text(error));
      }
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  UniqueFd descriptor_;
  std::string name_;
};

}  // namespace

std::unique_ptr<ByteStream> open_stream(int descriptor, const std::string& name) {
  return std::make_unique<DescriptorStream>(descriptor, name);
}

std::unique_ptr<ByteStream> open_stream(const std::string& path) {
  const bool is_standard_input = path == "-";
  const int descriptor = is_standard_input ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                           : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    throw ApplyError(error, "cannot open " + path + ": " + io::error_text(error));
  }
  return open_stream(descriptor, is_standard_input ? "the standard input" : path);
}

}  // namespace varve::apply
