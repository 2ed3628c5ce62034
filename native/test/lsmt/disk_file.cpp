#include "test/lsmt/disk_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace varve::test {

namespace {

int answer(long result) { return result < 0 ? -errno : 0; }

}  // namespace

DiskFile::DiskFile(const std::string& path)
    : path_(path), fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (!fd_) throw io::FormatError(errno, path + ": cannot open");
}

std::uint64_t DiskFile::size() const noexcept {
  struct stat status = {};
  return ::fstat(fd_.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

int DiskFile::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  while (!destination.empty()) {
    const ssize_t count =
        ::pread(fd_.get(), destination.data(), destination.size(), static_cast<off_t>(offset));
    if (count <= 0) return count == 0 ? -EINVAL : -errno;
    destination = destination.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return 0;
}

int DiskFile::write(std::span<const std::byte> source, std::uint64_t offset) {
  while (!source.empty()) {
    const ssize_t count =
        ::pwrite(fd_.get(), source.data(), source.size(), static_cast<off_t>(offset));
    if (count < 0) return -errno;
    source = source.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return 0;
}

int DiskFile::resize(std::uint64_t size) {
  return answer(::ftruncate(fd_.get(), static_cast<off_t>(size)));
}

int DiskFile::sync() { return answer(::fdatasync(fd_.get())); }

int DiskFile::punch_hole(const io::ByteRange& range) {
  return answer(::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            static_cast<off_t>(range.offset), static_cast<off_t>(range.length)));
}

int DiskFile::data_ranges(std::vector<io::ByteRange>& ranges) const {
  ranges.clear();
  for (off_t at = 0;;) {
    const off_t data = ::lseek(fd_.get(), at, SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : -errno;
    at = ::lseek(fd_.get(), data, SEEK_HOLE);
    if (at < 0) return -errno;
    ranges.push_back({static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(at - data)});
  }
}

}  // namespace varve::test
