// A file that appears under its name only when it is complete and durable.
//
// It is written without a name (O_TMPFILE) and gets its own by publish(): whatever ends the process
// before, nothing is left. Where the file system has no such files, it is written beside its place
// under a name of this process and moved; so is, from publish() on, one that replaces another. If it
// is never published, because something failed or because the process was told to end, that is
// removed; only a process that is killed outright then leaves its `.varve-layer.*` behind.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/file.h"
#include "syscalls/unique_fd.h"

namespace varve::output {

enum class Existing { kRefuse, kReplace };
// Whether to try for a file without a name.
enum class Unfinished { kNameless, kNamed };

// From now on SIGINT, SIGTERM, SIGHUP and SIGPIPE, unless they are ignored, remove what is not
// published, and then end the process as they would have. For programs that write a few files at a
// time and have no handlers of their own; call it before the first OutputFile.
void remove_unpublished_on_signals();

class OutputFile {
 public:
  // Throws io::FormatError: EEXIST also when there is something at `path` that must not be replaced.
  OutputFile(std::string path, Existing existing, Unfinished unfinished = Unfinished::kNameless);
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
  [[nodiscard]] bool make_nameless_file();
  // Calls `make` with names of this process until one is free; it gives an errno or 0.
  void make_name(const std::function<int(const std::string&)>& make);
  void make_named_file();
  // These give an errno or 0.
  [[nodiscard]] int link_to(const std::string& path) const;
  [[nodiscard]] int rename_to_path() const;
  void remove_temporary() noexcept;
  void forget() noexcept;

  std::string path_;
  Existing existing_;
  std::string directory_;
  std::string temporary_path_;  // empty while it has no name
  std::optional<std::size_t> slot_;  // among those that signals remove
  bool is_published_ = false;
  UniqueFd descriptor_;  // of the same file: who takes it may close it before it has a name
  std::unique_ptr<io::WritableFile> file_;
};

}  // namespace varve::output
