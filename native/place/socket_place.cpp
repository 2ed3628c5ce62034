#include "place/socket_place.h"

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

namespace varve::place {

namespace {

constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;
// Of waiting connections; those who find no place are told so.
constexpr int kBacklog = 128;

std::string reason(int error) { return std::strerror(error); }

int number_of(SocketType type) { return type == SocketType::kStream ? SOCK_STREAM : SOCK_SEQPACKET; }

// A path that is too long has been refused.
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, kSocketPathMax);
  return address;
}

UniqueFd socket_of(SocketType type) {
  return UniqueFd(::socket(AF_UNIX, number_of(type) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Whether somebody accepts there; ECONNREFUSED where nobody does any more.
int connect_error(const std::string& path, SocketType type) {
  int error = 0;
  static_cast<void>(connect_to(path, type, error));
  return error;
}

void remove_stale_socket(const std::string& path, SocketType type) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    throw PlaceRefused("the socket " + path + " cannot be looked at: " + reason(errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    throw PlaceRefused(path + " exists and is no socket: move it away, or choose another socket");
  }
  const int error = connect_error(path, type);
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

HeldLock::HeldLock(std::string path, const std::string& of_what, const std::string& program)
    : path_(std::move(path)) {
  while (true) {
    const int lock = varve_sys_lock_file(path_.c_str());
    if (lock == -EWOULDBLOCK) {
      throw PlaceRefused(of_what + " belongs to a " + program + " that runs (" + holder_of(path_) +
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

UniqueFd listen_at(const std::string& path, SocketType type) {
  if (path.size() > kSocketPathMax) {
    throw PlaceRefused("the socket path " + path + " has " + std::to_string(path.size()) +
                       " bytes; the kernel takes " + std::to_string(kSocketPathMax) +
                       ": choose a shorter one");
  }
  remove_stale_socket(path, type);
  UniqueFd listener = socket_of(type);
  const sockaddr_un address = address_of(path);
  const mode_t before = ::umask(0177);
  const bool is_bound = listener && ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address),
                                           sizeof address) == 0;
  const int error = errno;
  ::umask(before);
  if (!is_bound) throw PlaceRefused("cannot listen on " + path + ": " + reason(error));
  if (::listen(listener.get(), kBacklog) != 0) {
    throw PlaceRefused("cannot listen on " + path + ": " + reason(errno));
  }
  return listener;
}

UniqueFd connect_to(const std::string& path, SocketType type, int& error) {
  error = path.size() > kSocketPathMax ? ENAMETOOLONG : 0;
  if (error != 0) return {};
  UniqueFd socket = socket_of(type);
  const sockaddr_un address = address_of(path);
  if (socket && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) == 0) {
    return socket;
  }
  error = errno;
  return {};
}

}  // namespace varve::place
