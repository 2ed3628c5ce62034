// A FUSE file system that is one regular file, mounted nowhere: the mount hangs on a descriptor and
// on whoever has the file open, so it is in no mount table, reaches no other mount namespace, and
// is gone with its last user. Mounting is apart from serving: whoever opens /dev/fuse may be
// another process.
#pragma once

#include <sys/types.h>

#include <string>

#include "syscalls/unique_fd.h"

namespace varve::transport {

// A new connection's descriptor. Throws TransportError.
UniqueFd open_fuse();

class FuseMount {
 public:
  // Mounts the connection of a descriptor that open_fuse made, here or in another process. Does not
  // wait for whoever serves it. Throws TransportError.
  FuseMount(int fuse, const std::string& name, bool is_read_only);

  // One that a predecessor made, by the descriptor that keeps it.
  FuseMount(UniqueFd mount, bool is_read_only);

  [[nodiscard]] int descriptor() const noexcept { return mount_.get(); }

  // Opens the file; waits until the connection is served. Throws TransportError.
  [[nodiscard]] UniqueFd open_file() const;

  [[nodiscard]] dev_t device() const noexcept { return device_; }

 private:
  void look();

  UniqueFd mount_;
  bool is_read_only_;
  dev_t device_ = 0;
};

// Ends the connection of the file system: every request, now and later, fails. Needs nothing
// mounted. 0 or a negative errno; -ENOENT if there is no such connection any more.
int abort_fuse_connection(dev_t device) noexcept;

}  // namespace varve::transport
