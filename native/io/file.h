// Random access to the bytes of a layer: a file on disk, the content of a compressed file, an entry
// of a tar archive, later a blob that is fetched as it is read. Readers of formats see only this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace varve::io {

// A file that cannot be opened, or is not what it has to be; the text names the file and the
// defect.
class FormatError : public std::runtime_error {
 public:
  // `error` is a positive errno: EINVAL or EIO for a defect, else what the system answered.
  FormatError(int error, const std::string& text) : std::runtime_error(text), error_(error) {}
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  int error_;
};

struct Checksums {
  std::uint32_t expected = 0;
  std::uint32_t actual = 0;
};

// Damage met by a read, for the log: which layer, where, what was expected and what was there.
struct Damage {
  std::string file;
  std::uint64_t offset = 0;  // within `file`
  std::string text;
  std::optional<Checksums> sums = std::nullopt;  // where a checksum showed it
};

// Told of damage; called from any thread that reads.
class DamageListener {
 public:
  virtual ~DamageListener() = default;
  virtual void damaged(const Damage& damage) noexcept = 0;
};

// A stretch of bytes.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// Reading is safe from several threads at once.
class File {
 public:
  virtual ~File() = default;

  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;

  // Fills `destination` with the bytes from `offset` on. Returns 0 or a negative errno: -EIO for
  // bytes that are damaged or that the disk does not give back, -EINVAL for a range that is not
  // wholly inside of the file. After an error the destination's content is unspecified.
  [[nodiscard]] virtual int read(std::span<std::byte> destination,
                                 std::uint64_t offset) const noexcept = 0;

  // The bytes of a range where they lie, for files that can show them; else null. They may be
  // touched within run_guarded() (io/bus_guard.h) only, and another process may alter them
  // meanwhile.
  [[nodiscard]] virtual const std::byte* view(const ByteRange& /*range*/) const noexcept {
    return nullptr;
  }

  // Whether it lacks bytes at its end that were there when it was opened.
  [[nodiscard]] virtual bool is_cut_off() const noexcept { return false; }

  // The name for messages.
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
};

// The caller orders writes that overlap; others may run at once, and beside reads.
class WritableFile : public File {
 public:
  // Writes all of `source`; grows the file when it reaches past its end. 0 or a negative errno.
  [[nodiscard]] virtual int write(std::span<const std::byte> source, std::uint64_t offset) = 0;
  // Cuts the file, or makes it longer by a hole.
  [[nodiscard]] virtual int resize(std::uint64_t size) = 0;
  // Has the disk begin with what was written, so that sync() has less to wait for. Promises
  // nothing.
  virtual void begin_sync(const ByteRange& /*range*/) noexcept {}
  // Makes everything written durable (fdatasync).
  [[nodiscard]] virtual int sync() = 0;
  // Gives the blocks of a range back; it reads as zeros from then on.
  [[nodiscard]] virtual int punch_hole(const ByteRange& range) = 0;
  // Makes a range read as zeros that goes on to have its blocks, and has them if it had none.
  [[nodiscard]] virtual int zero_range(const ByteRange& range);
  // The parts of the file that hold data (SEEK_DATA), ascending; empty with an errno on failure.
  [[nodiscard]] virtual int data_ranges(std::vector<ByteRange>& ranges) const = 0;
};

// Opens a file on disk for reading; throws FormatError.
std::unique_ptr<File> open_file(const std::string& path);

// Opens or makes a file on disk for writing; throws FormatError.
std::unique_ptr<WritableFile> open_writable_file(const std::string& path, bool must_be_new);
// The same for one that must be there. Without `may_write` it is opened for reading alone, and
// whatever would change it fails.
std::unique_ptr<WritableFile> open_existing_writable_file(const std::string& path,
                                                          bool may_write = true);

// A file on disk that was opened elsewhere, whose descriptor is taken over even on failure. What may
// be done with it is what it was opened for. Throws FormatError.
std::unique_ptr<WritableFile> adopt_file(int descriptor, const std::string& name);

}  // namespace varve::io
