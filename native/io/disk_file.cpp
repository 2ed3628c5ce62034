// Files on disk by pread and pwrite: interrupted and short calls go on where they stopped. And
// mapped ones, which are read in the same way but show their bytes too.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <utility>

#include "io/bytes.h"
#include "io/file.h"
#include "io/mapped_file.h"
#include "syscalls/unique_fd.h"

namespace varve::io {

namespace {

// Offsets of the system are signed.
constexpr std::uint64_t kSizeMax = std::numeric_limits<off_t>::max();

[[noreturn]] void refuse(int error, const std::string& path, const std::string& why) {
  throw FormatError(error, path + ": " + why);
}

class DiskFile final : public WritableFile {
 public:
  DiskFile(UniqueFd fd, std::string path, std::uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  [[nodiscard]] std::uint64_t size() const noexcept override {
    return size_.load(std::memory_order_acquire);
  }

  [[nodiscard]] const std::string& name() const noexcept override { return path_; }
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    if (!is_within(offset, destination.size(), size())) return -EINVAL;
    while (!destination.empty()) {
      const ssize_t count =
          ::pread(fd_.get(), destination.data(), destination.size(), static_cast<off_t>(offset));
      if (count < 0) {
        if (errno == EINTR) continue;
        return -errno;
      }
      // The file is shorter than when it was opened.
      if (count == 0) return -EIO;
      destination = destination.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return 0;
  }

  [[nodiscard]] bool is_cut_off() const noexcept override {
    struct stat status = {};
    return ::fstat(fd_.get(), &status) == 0 && std::cmp_less(status.st_size, size());
  }

  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override {
    if (!is_within(offset, source.size(), kSizeMax)) return -EFBIG;
    while (!source.empty()) {
      const ssize_t count =
          ::pwrite(fd_.get(), source.data(), source.size(), static_cast<off_t>(offset));
      if (count < 0) {
        if (errno == EINTR) continue;
        return -errno;
      }
      if (count == 0) return -EIO;
      source = source.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
      if (offset > size()) size_.store(offset, std::memory_order_release);
    }
    return 0;
  }

  [[nodiscard]] int resize(std::uint64_t size) override {
    if (size > kSizeMax) return -EFBIG;
    while (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) return -errno;
    }
    size_.store(size, std::memory_order_release);
    return 0;
  }

  void begin_sync(const ByteRange& range) noexcept override {
    static_cast<void>(::sync_file_range(fd_.get(), static_cast<off_t>(range.offset),
                                        static_cast<off_t>(range.length), SYNC_FILE_RANGE_WRITE));
  }

  [[nodiscard]] int sync() override {
    while (::fdatasync(fd_.get()) != 0) {
      if (errno != EINTR) return -errno;
    }
    return 0;
  }

  [[nodiscard]] int punch_hole(const ByteRange& range) override {
    const std::uint64_t end = size();
    if (!is_within(range.offset, range.length, end)) return -EINVAL;
    if (range.length == 0) return 0;
    constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (::fallocate(fd_.get(), kMode, static_cast<off_t>(range.offset),
                       static_cast<off_t>(range.length)) != 0) {
      if (errno == EOPNOTSUPP) return WritableFile::zero_range(range);
      if (errno != EINTR) return -errno;
    }
    return 0;
  }

  [[nodiscard]] int zero_range(const ByteRange& range) override {
    const std::uint64_t end = size();
    if (!is_within(range.offset, range.length, end)) return -EINVAL;
    if (range.length == 0) return 0;
    constexpr int kMode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    while (::fallocate(fd_.get(), kMode, static_cast<off_t>(range.offset),
                       static_cast<off_t>(range.length)) != 0) {
      if (errno == EOPNOTSUPP) return WritableFile::zero_range(range);
      if (errno != EINTR) return -errno;
    }
    return 0;
  }

  [[nodiscard]] int data_ranges(std::vector<ByteRange>& ranges) const override {
    ranges.clear();
    const off_t end = static_cast<off_t>(size());
    for (off_t at = 0; at < end;) {
      const off_t data = ::lseek(fd_.get(), at, SEEK_DATA);
      if (data < 0) {
        if (errno == ENXIO) break;
        return fail(ranges, errno);
      }
      if (data >= end) break;
      const off_t hole = ::lseek(fd_.get(), data, SEEK_HOLE);
      if (hole < 0) return fail(ranges, errno);
      const off_t stop = std::min(hole, end);
      ranges.push_back({static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(stop - data)});
      at = stop;
    }
    return 0;
  }

 private:
  static int fail(std::vector<ByteRange>& ranges, int error) {
    ranges.clear();
    return -error;
  }

  UniqueFd fd_;
  std::string path_;
  std::atomic<std::uint64_t> size_;
};

class MappedFile final : public File {
 public:
  MappedFile(std::unique_ptr<DiskFile> file, const std::byte* bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  ~MappedFile() override { ::munmap(const_cast<std::byte*>(bytes_), file_->size()); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::uint64_t size() const noexcept override { return file_->size(); }
  [[nodiscard]] const std::string& name() const noexcept override { return file_->name(); }
  [[nodiscard]] bool is_cut_off() const noexcept override { return file_->is_cut_off(); }

  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override {
    return file_->read(destination, offset);
  }

  [[nodiscard]] const std::byte* view(const ByteRange& range) const noexcept override {
    return is_within(range.offset, range.length, size()) ? bytes_ + range.offset : nullptr;
  }

 private:
  std::unique_ptr<DiskFile> file_;
  const std::byte* bytes_;
};

std::unique_ptr<DiskFile> disk_file_of(UniqueFd fd, const std::string& path) {
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) {
    const int error = errno;
    refuse(error, path, error_text(error));
  }
  if (!S_ISREG(status.st_mode)) refuse(EINVAL, path, "is not a regular file");
  return std::make_unique<DiskFile>(std::move(fd), path,
                                    static_cast<std::uint64_t>(status.st_size));
}

std::unique_ptr<DiskFile> open_disk_file(const std::string& path, int flags) {
  // Opening a pipe must not wait for its other end, a terminal must not become ours.
  constexpr int kAlways = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  UniqueFd fd(::open(path.c_str(), flags | kAlways, 0600));
  if (!fd) {
    const int error = errno;
    refuse(error, path, error_text(error));
  }
  return disk_file_of(std::move(fd), path);
}

}  // namespace

// For file systems that cannot give blocks back or keep empty ones.
int WritableFile::zero_range(const ByteRange& range) {
  const std::vector<std::byte> zeros(std::min<std::uint64_t>(range.length, 1U << 20));
  for (std::uint64_t done = 0; done < range.length;) {
    const std::uint64_t length = std::min<std::uint64_t>(range.length - done, zeros.size());
    const int error = write({zeros.data(), length}, range.offset + done);
    if (error != 0) return error;
    done += length;
  }
  return 0;
}

std::unique_ptr<File> open_file(const std::string& path) { return open_disk_file(path, O_RDONLY); }

std::unique_ptr<File> open_mapped_file(const std::string& path) {
  std::unique_ptr<DiskFile> file = open_disk_file(path, O_RDONLY);
  if (file->size() == 0) return file;
  void* bytes = ::mmap(nullptr, file->size(), PROT_READ, MAP_SHARED, file->descriptor(), 0);
  if (bytes == MAP_FAILED) return file;
  // A daemon that locks its memory must not pin the page cache.
  ::munlock(bytes, file->size());
  return std::make_unique<MappedFile>(std::move(file), static_cast<const std::byte*>(bytes));
}

std::unique_ptr<WritableFile> adopt_file(int descriptor, const std::string& name) {
  return disk_file_of(UniqueFd(descriptor), name);
}

std::unique_ptr<WritableFile> open_writable_file(const std::string& path, bool must_be_new) {
  return open_disk_file(path, O_RDWR | O_CREAT | (must_be_new ? O_EXCL : 0));
}

std::unique_ptr<WritableFile> open_existing_writable_file(const std::string& path,
                                                          bool may_write) {
  return open_disk_file(path, may_write ? O_RDWR : O_RDONLY);
}

}  // namespace varve::io
