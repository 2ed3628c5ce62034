// Where the control socket lies: only its owner reaches it from the moment that it exists, what is
// left of a dead daemon is replaced, a live one and anything that is no socket are left alone.
#pragma once

#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <stdexcept>
#include <string>

#include "syscalls/unique_fd.h"

namespace varve::bd {

// The daemon cannot start; the text says why, and what to do.
class PlaceRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file that only one process holds; deleted at the end. Throws PlaceRefused.
class HeldLock {
 public:
  HeldLock(std::string path, const std::string& of_what);
  ~HeldLock();
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  std::string path_;
  UniqueFd lock_;
};

// Makes a directory (0700) with those above it where they are missing. Throws PlaceRefused.
void make_private_directory(const std::string& path);

// Listens on `path`; nobody else may run at once. Throws PlaceRefused. Called while there is one
// thread, because it changes the mask of new files for a moment.
asio::local::stream_protocol::acceptor listen_at(asio::io_context& context,
                                                 const std::string& path);

}  // namespace varve::bd
