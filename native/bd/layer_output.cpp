#include "bd/layer_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "syscalls/unique_fd.h"
#include "tar/layer_writer.h"
#include "zfile/writer.h"

namespace varve::bd {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(int error, const std::string& path, const std::string& step) {
  throw io::FormatError(error, path + ": " + step + ": " + std::strerror(error));
}

void check(int result, const std::string& path, const std::string& step) {
  if (result != 0) fail(-result, path, step);
}

// A file that is deleted unless it was given its name.
class PartialFile {
 public:
  explicit PartialFile(const std::string& path) : path_(path) {
    static std::atomic<std::uint64_t> next = 1;
    partial_ = path + "." + std::to_string(::getpid()) + "-" + std::to_string(next++) + ".partial";
    std::error_code ignored;
    if (fs::symlink_status(path, ignored).type() != fs::file_type::not_found) {
      throw io::FormatError(EEXIST, path + ": is there already");
    }
    file_ = io::open_writable_file(partial_, true);
  }
  ~PartialFile() {
    if (!has_name_) ::unlink(partial_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  [[nodiscard]] io::WritableFile& file() const noexcept { return *file_; }

  void make_durable() {
    // Layers are read by others than root, as images are.
    if (::chmod(partial_.c_str(), 0644) != 0) fail(errno, path_, "chmod");
    check(file_->sync(), path_, "sync");
  }

  void publish() {
    if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) != 0) {
      fail(errno, path_, "rename");
    }
    has_name_ = true;
    const std::string folder = fs::path(path_).parent_path();
    const UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) fail(errno, folder, "sync");
  }

 private:
  std::string path_;
  std::string partial_;
  std::unique_ptr<io::WritableFile> file_;
  bool has_name_ = false;
};

zfile::WriteOptions compression_of(const CommitRequest& request) {
  zfile::WriteOptions options;
  options.algorithm = request.compression == Compression::kZstd ? zfile::Algorithm::zstd
                                                                : zfile::Algorithm::lz4;
  options.block_size = request.block_size_bytes;
  return options;
}

}  // namespace

CommitSummary commit_to_file(Image& image, const CommitRequest& request,
                             Cancellation& cancellation) {
  lsmt::LayerOptions options;
  options.uuid = request.uuid;
  options.parent_uuid = request.parent_uuid;
  options.user_tag = request.user_tag;

  PartialFile output(request.output);
  std::optional<tar::LayerWriter> archive;
  if (request.is_tar) archive.emplace(output.file());
  io::WritableFile& target = archive ? static_cast<io::WritableFile&>(*archive) : output.file();

  CommitSummary summary;
  if (request.compression == Compression::kNone) {
    image.commit(options, [&](std::span<const std::byte> bytes) {
      if (cancellation.is_cancelled()) return -ECANCELED;
      const int error = target.write(bytes, summary.layer_bytes);
      summary.layer_bytes += bytes.size();
      return error;
    });
  } else {
    zfile::Writer writer(target, compression_of(request));
    image.commit(options, [&](std::span<const std::byte> bytes) {
      if (cancellation.is_cancelled()) return -ECANCELED;
      summary.layer_bytes += bytes.size();
      return writer.append(bytes);
    });
    zfile::WriteSummary written;
    check(writer.finish(written), request.output, "write");
  }
  if (archive) check(archive->finish(), request.output, "write the archive");
  summary.file_bytes = output.file().size();
  output.make_durable();
  if (!cancellation.finish()) fail(ECANCELED, request.output, "commit");
  output.publish();
  return summary;
}

}  // namespace varve::bd
