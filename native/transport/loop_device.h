// A loop device on an open file. While the object lives it keeps the device open, so nobody can
// take it away under its feet; afterwards the kernel clears it when its last user closes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "syscalls/unique_fd.h"

namespace varve::transport {

struct LoopOptions {
  std::string name;  // shown by losetup where it has no path
  bool is_read_only = false;
  std::uint32_t block_size_bytes = 512;
};

class LoopDevice {
 public:
  // Throws TransportError.
  LoopDevice(int file, const LoopOptions& options);
  // One that is there already, by a descriptor that keeps it open.
  LoopDevice(UniqueFd loop, std::string path);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] dev_t device() const noexcept { return device_; }
  [[nodiscard]] int descriptor() const noexcept { return loop_.get(); }
  // As the kernel says after attaching: it falls back to buffered I/O without a word.
  [[nodiscard]] bool has_direct_io() const noexcept { return has_direct_io_; }
  // In bytes, as the kernel has it. Throws TransportError.
  [[nodiscard]] std::uint64_t size() const;
  // Takes the file's size over. 0 or a negative errno.
  [[nodiscard]] int update_size() const noexcept;
  // Lets go of the device; it is cleared when its last user closes it.
  void detach() noexcept;

 private:
  void look();

  UniqueFd loop_;
  std::string path_;
  dev_t device_ = 0;
  bool has_direct_io_ = false;
};

// Writes out what the kernel holds of a block device, and of a file system that is mounted from it
// in any mount namespace. 0 or a negative errno.
int sync_block_device(int device) noexcept;

// Opens the loop device of that path if it exists and has a file of that file system behind it.
UniqueFd open_loop_on(const std::string& path, dev_t file_system) noexcept;
inline bool is_loop_on(const std::string& path, dev_t file_system) noexcept {
  return static_cast<bool>(open_loop_on(path, file_system));
}

}  // namespace varve::transport
