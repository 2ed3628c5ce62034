#include "bd/socket_place.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "syscalls/varve_sys.h"

namespace varve::bd {

namespace {

constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;
// Of waiting connections; those who find no place are told so.
constexpr int kBacklog = 128;

std::string reason(int error) { return std::strerror(error); }

// Whether somebody accepts there; ECONNREFUSED where nobody does any more.
int connect_error(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(socket.get(), plain, sizeof address) == 0 ? 0 : errno;
}

void remove_stale_socket(const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    throw PlaceRefused("the socket " + path + " cannot be looked at: " + reason(errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    throw PlaceRefused(path + " exists and is no socket: move it away, or choose another socket");
  }
  const int error = connect_error(path);
  if (error == 0 || error == EAGAIN) {
    throw PlaceRefused("a server answers on " + path + ": stop it, or choose another socket");
  }
  if (error != ECONNREFUSED && error != ENOENT) {
    throw PlaceRefused("whether a server answers on " + path + " cannot be told (" +
                       reason(error) + "): look at it, and remove it if it is left over");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    throw PlaceRefused(path + ", which is left over, cannot be removed: " + reason(errno));
  }
}

// Whether a path still leads to an open file.
bool is_same_file(int descriptor, const std::string& path) {
  struct stat opened = {};
  struct stat found = {};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &found) == 0 &&
         opened.st_dev == found.st_dev && opened.st_ino == found.st_ino;
}

std::string holder_of(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  std::array<char, 16> text = {};
  const ssize_t length = file ? ::read(file.get(), text.data(), text.size() - 1) : 0;
  std::string process(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!process.empty() && process.back() == '\n') process.pop_back();
  return process.empty() ? "another process" : "process " + process;
}

}  // namespace

HeldLock::HeldLock(std::string path, const std::string& of_what) : path_(std::move(path)) {
  while (true) {
    const int lock = varve_sys_lock_file(path_.c_str());
    if (lock == -EWOULDBLOCK) {
      throw PlaceRefused(of_what + " belongs to a varve-bd that runs (" + holder_of(path_) +
                         "): stop it, or choose another");
    }
    if (lock < 0) throw PlaceRefused(path_ + " cannot be locked: " + reason(-lock));
    lock_.reset(lock);
    // Its last holder may have deleted it in between.
    if (is_same_file(lock, path_)) return;
  }
}

HeldLock::~HeldLock() { ::unlink(path_.c_str()); }

void make_private_directory(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && parent != fs::path(path)) make_private_directory(parent);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    throw PlaceRefused("the directory " + path + " cannot be made: " + reason(errno));
  }
  if (!fs::is_directory(path, error)) throw PlaceRefused(path + " is no directory");
}

asio::local::stream_protocol::acceptor listen_at(asio::io_context& context,
                                                 const std::string& path) {
  if (path.size() > kSocketPathMax) {
    throw PlaceRefused("the socket path " + path + " has " + std::to_string(path.size()) +
                       " bytes; the kernel takes " + std::to_string(kSocketPathMax) +
                       ": choose a shorter one");
  }
  remove_stale_socket(path);
  asio::local::stream_protocol::acceptor acceptor(context);
  std::error_code error;
  acceptor.open(asio::local::stream_protocol(), error);
  if (!error) {
    const mode_t before = ::umask(0177);
    acceptor.bind(path, error);
    ::umask(before);
  }
  if (!error) acceptor.listen(kBacklog, error);
  if (error) throw PlaceRefused("cannot listen on " + path + ": " + error.message());
  return acceptor;
}

}  // namespace varve::bd
