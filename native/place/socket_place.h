// Where a socket lies: only its owner reaches it from the moment that it exists, what is
// left of a dead daemon is replaced, a live one and anything that is no socket are left alone.
#pragma once

#include <stdexcept>
#include <string>

#include "syscalls/unique_fd.h"

namespace varve::place {

// The program cannot start; the text says why, and what to do.
class PlaceRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file that only one process holds; deleted at the end. Throws PlaceRefused: `of_what` belongs to
// a `program` that runs.
class HeldLock {
 public:
  HeldLock(std::string path, const std::string& of_what, const std::string& program);
  ~HeldLock();
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  std::string path_;
  UniqueFd lock_;
};

// Makes a directory (0700) with those above it where they are missing. Throws PlaceRefused.
void make_private_directory(const std::string& path);

enum class SocketType { kStream, kPackets };

// Listens on the unix socket `path`; nobody else may run at once. Throws PlaceRefused. Called while
// there is one thread, because it changes the mask of new files for a moment.
UniqueFd listen_at(const std::string& path, SocketType type);

// Connects to it. An owned descriptor, or none and a positive errno in `error`.
UniqueFd connect_to(const std::string& path, SocketType type, int& error);

}  // namespace varve::place
