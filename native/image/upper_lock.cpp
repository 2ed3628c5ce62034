#include "image/upper_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "io/bytes.h"
#include "io/file.h"
#include "io/same_file.h"

namespace varve::image {

namespace {

UniqueFd lock_file(const std::string& path, bool is_read_only) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    const int error = errno;
    throw io::FormatError(error, path + ": " + io::error_text(error));
  }
  if (::flock(file.get(), (is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return file;
  const int error = errno;
  if (error == EWOULDBLOCK) {
    throw io::FormatError(EBUSY, path + ": is in use as the writable layer of another device, or " +
                                     "a command works on it");
  }
  throw io::FormatError(error, path + ": cannot be locked: " + io::error_text(error));
}

}  // namespace

UpperLock lock_upper(const std::string& data, const std::string& index, bool is_read_only) {
  // A second lock on the same file would find the first one.
  if (!index.empty() && io::is_same_file(data, index)) {
    throw io::FormatError(EINVAL, index + ": is the data file " +
                                      (index == data ? "itself" : data + " under another name") +
                                      "; a writable layer has an index file of its own");
  }
  UpperLock lock;
  lock.data = lock_file(data, is_read_only);
  if (!index.empty()) lock.index = lock_file(index, is_read_only);
  return lock;
}

}  // namespace varve::image
