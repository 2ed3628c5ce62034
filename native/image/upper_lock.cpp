#include "image/upper_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "io/bytes.h"
#include "io/file.h"

namespace varve::image {

UniqueFd lock_upper(const std::string& data, bool is_read_only) {
  UniqueFd file(::open(data.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    const int error = errno;
    throw io::FormatError(error, data + ": " + io::error_text(error));
  }
  if (::flock(file.get(), (is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return file;
  const int error = errno;
  if (error == EWOULDBLOCK) {
    throw io::FormatError(EBUSY, data + ": is in use as the writable layer of another device, or " +
                                     "a command works on it");
  }
  throw io::FormatError(error, data + ": cannot be locked: " + io::error_text(error));
}

}  // namespace varve::image
