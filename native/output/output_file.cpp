#include "output/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "io/bytes.h"

namespace varve::output {

namespace {

[[noreturn]] void fail(int error, const std::string& path, const std::string& what) {
  throw io::FormatError(error, path + ": " + what + ": " + io::error_text(error));
}

// What a signal's handler may look at: paths in memory that never moves.
struct Unpublished {
  std::atomic<bool> is_used = false;
  std::array<char, PATH_MAX> path{};
};
constexpr std::size_t kSlots = 4;
std::array<Unpublished, kSlots> unpublished;

bool are_signals_watched = false;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

void on_signal(int number) {
  for (const Unpublished& one : unpublished) {
    if (one.is_used.load(std::memory_order_acquire)) ::unlink(one.path.data());
  }
  // SA_RESETHAND took this handler away, so the process ends when the signal is let through.
  ::raise(number);
}

std::optional<std::size_t> remember(const std::string& path) {
  if (!are_signals_watched) return std::nullopt;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    Unpublished& one = unpublished[slot];
    if (one.is_used.load(std::memory_order_relaxed)) continue;
    std::memcpy(one.path.data(), path.c_str(), path.size() + 1);
    one.is_used.store(true, std::memory_order_release);
    return slot;
  }
  throw io::FormatError(EMFILE, path + ": too many files are written at once");
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// By which the kernel finds an open file.
std::string name_of(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

}  // namespace

void remove_unpublished_on_signals() {
  are_signals_watched = true;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : kSignals) {
    // Who started the process may want it to survive one: nohup does.
    struct sigaction before = {};
    const bool is_ignored =
        ::sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
    if (!is_ignored) ::sigaction(number, &action, nullptr);
  }
}

OutputFile::OutputFile(std::string path, Existing existing, Unfinished unfinished)
    : path_(std::move(path)), existing_(existing), directory_(directory_of(path_)) {
  refuse_existing();
  if (unfinished == Unfinished::kNamed || !make_nameless_file()) make_named_file();
  const int other = ::fcntl(descriptor_.get(), F_DUPFD_CLOEXEC, 0);
  if (other >= 0) {
    file_ = io::adopt_file(other, path_);
    return;
  }
  const int error = errno;
  remove_temporary();
  fail(error, path_, "cannot be written");
}

// Early, because the work may be long; publish() checks it again without a gap.
void OutputFile::refuse_existing() const {
  struct stat status = {};
  if (::lstat(path_.c_str(), &status) != 0) {
    if (errno != ENOENT) fail(errno, path_, "cannot be written");
    return;
  }
  if (existing_ == Existing::kRefuse) {
    throw io::FormatError(
        EEXIST, path_ + ": exists already and is left as it is; give another name, or remove it");
  }
  if (!S_ISREG(status.st_mode)) {
    throw io::FormatError(
        EEXIST, path_ + ": is not a regular file and is not replaced; give another name");
  }
}

bool OutputFile::make_nameless_file() {
  descriptor_ = UniqueFd(::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  // Without /proc it could not be given a name. What is wrong with the folder shows once more.
  if (descriptor_ && ::access(name_of(descriptor_.get()).c_str(), F_OK) == 0) return true;
  descriptor_.reset();
  return false;
}

void OutputFile::make_named_file() {
  make_name([this](const std::string& path) {
    constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY;
    descriptor_ = UniqueFd(::open(path.c_str(), kFlags, 0644));
    return descriptor_ ? 0 : errno;
  });
}

void OutputFile::make_name(const std::function<int(const std::string&)>& make) {
  constexpr unsigned kNamesMax = 1000;
  const std::string stem = directory_ + "/.varve-layer." + std::to_string(::getpid()) + ".";
  if (stem.size() + 8 > PATH_MAX) fail(ENAMETOOLONG, path_, "cannot be written");
  for (unsigned number = 0; number < kNamesMax; ++number) {
    temporary_path_ = stem + std::to_string(number);
    slot_ = remember(temporary_path_);
    const int error = make(temporary_path_);
    if (error == 0) return;
    forget();
    temporary_path_.clear();
    if (error != EEXIST) fail(error, path_, "no file can be made beside it");
  }
  throw io::FormatError(
      EEXIST, path_ + ": files are left beside it that begin with .varve-layer; remove them");
}

void OutputFile::forget() noexcept {
  if (slot_) unpublished[*slot_].is_used.store(false, std::memory_order_release);
  slot_.reset();
}

OutputFile::~OutputFile() { remove_temporary(); }

void OutputFile::remove_temporary() noexcept {
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
  temporary_path_.clear();
  forget();
}

void OutputFile::set_mode(mode_t mode) {
  if (::fchmod(descriptor_.get(), mode) != 0) fail(errno, path_, "no mode can be set");
}

void OutputFile::make_durable() {
  if (!file_) return;
  if (const int error = file_->sync(); error != 0) fail(-error, path_, "cannot be made durable");
}

void OutputFile::publish() {
  make_durable();
  int error = temporary_path_.empty() ? link_to(path_) : rename_to_path();
  if (error == EEXIST && existing_ == Existing::kReplace) {
    // No call replaces a name by a file without one.
    make_name([this](const std::string& path) { return link_to(path); });
    error = rename_to_path();
  }
  if (error == EEXIST) {
    throw io::FormatError(EEXIST, path_ + ": somebody else made it meanwhile; give another name");
  }
  if (error != 0) fail(error, path_, "the complete file cannot be moved there");
  is_published_ = true;
  temporary_path_.clear();
  forget();
  // A file system may have left out of the file's own sync what it does for files with a name.
  if (::fsync(descriptor_.get()) != 0) fail(errno, path_, "cannot be made durable");
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) {
    fail(errno, directory_, "the name of the new file cannot be made durable");
  }
}

int OutputFile::link_to(const std::string& path) const {
  const std::string own = name_of(descriptor_.get());
  const int result =
      ::linkat(AT_FDCWD, own.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  return result == 0 ? 0 : errno;
}

int OutputFile::rename_to_path() const {
  const unsigned flags = existing_ == Existing::kRefuse ? unsigned{RENAME_NOREPLACE} : 0U;
  const int result =
      ::renameat2(AT_FDCWD, temporary_path_.c_str(), AT_FDCWD, path_.c_str(), flags);
  return result == 0 ? 0 : errno;
}

void OutputFile::retract() noexcept {
  if (is_published_) ::unlink(path_.c_str());
}

}  // namespace varve::output
