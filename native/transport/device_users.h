// Who uses a block device: asked when it cannot be closed, to say whom to ask to let go.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace varve::transport {

struct DeviceUser {
  enum class Kind {
    kDescriptor,  // a process has the device open or mapped
    kFile,        // a process has a file open, or its root or working directory, on the file
                  // system of the device; only told where the mount itself is gone
    kMount,       // it is mounted
    kHolder,      // another block device is built on it
    kSwap,        // the kernel swaps to it
  };
  Kind kind = Kind::kDescriptor;
  int process = 0;  // for kMount one that sees the mount; 0 where no process is known
  std::string text;  // a sentence's part: "process 12 (sleep) has it open as descriptor 3"
};

// Descriptors that are not of users.
struct NoUsers {
  int own_descriptor = -1;  // of this process
  int process = 0;          // one that keeps descriptors for this one; 0: none
};

// Everyone found, in no order that means anything. What cannot be read (processes that end
// meanwhile, other process namespaces) is left out, so an empty answer does not prove that nobody
// is there.
std::vector<DeviceUser> find_device_users(dev_t device, NoUsers none = {});

// Without whoever only looks at the device and is gone in a moment: udev, or who seeks a free one.
std::vector<DeviceUser> find_lasting_users(dev_t device, NoUsers none = {});

}  // namespace varve::transport
