// A file that appears under its name only when it is complete and durable.
//
// It is written beside its place under a name of this process, and moved there by publish(). If it
// is never published, because something failed or because the process was told to end, it is
// removed; only a process that is killed outright leaves its `.varve-layer.*` behind.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "io/file.h"

namespace varve::output {

enum class Existing { kRefuse, kReplace };

// From now on SIGINT, SIGTERM, SIGHUP and SIGPIPE, unless they are ignored, remove what is not
// published, and then end the process as they would have. For programs that write a few files at a
// time and have no handlers of their own; call it before the first OutputFile.
void remove_unpublished_on_signals();

class OutputFile {
 public:
  // Throws io::FormatError: EEXIST also when there is something at `path` that must not be replaced.
  OutputFile(std::string path, Existing existing);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  [[nodiscard]] io::WritableFile& file() const noexcept { return *file_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  // Hands the file over to who closes it before or after publishing.
  [[nodiscard]] std::unique_ptr<io::WritableFile> take_file() noexcept { return std::move(file_); }

  // Permissions whatever the process's umask; throws io::FormatError.
  void set_mode(mode_t mode);
  // Throws io::FormatError. publish() does it, too; before it, for work that can still be given up.
  void make_durable();
  // Makes the content durable and moves the file to its path. Throws io::FormatError.
  void publish();
  // Takes a published file back, where several belong together and a later one failed.
  void retract() noexcept;

 private:
  void refuse_existing() const;
  void make_file();
  void forget() noexcept;

  std::string path_;
  Existing existing_;
  std::string directory_;
  std::string temporary_path_;
  std::optional<std::size_t> slot_;  // among those that signals remove
  bool is_published_ = false;
  std::unique_ptr<io::WritableFile> file_;
};

}  // namespace varve::output
