// What is in a file system, as text to compare: one line for each name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/file.h"

namespace varve::test {

// By path, "/" the root; without lost+found.
using Listing = std::map<std::string, std::string>;

// Runs a program; its exit status and what it wrote.
struct ProgramResult {
  int status = -1;
  std::string output;
};
ProgramResult run_program(const std::vector<std::string>& arguments);

std::vector<std::string> lines_of(const std::string& text);

// Writes what a disk reads as to a file, zeros as holes.
void write_image(const io::File& disk, const std::string& path);

// What e2fsck says about an image; empty if it finds nothing.
std::string check_file_system(const std::string& image);

// Mounts an image by a loop device as long as it lives.
class Mounted {
 public:
  enum class Access { kRead, kWrite };
  Mounted(const std::string& image, const std::string& directory, Access access = Access::kRead);
  ~Mounted();
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  [[nodiscard]] bool is_mounted() const noexcept { return is_mounted_; }

 private:
  std::string directory_;
  bool is_mounted_ = false;
};

// Directories as the kernel's overlay shows them in one, the uppermost first, for as long as it
// lives.
class MountedOverlay {
 public:
  MountedOverlay(const std::vector<std::string>& directories, const std::string& directory);
  ~MountedOverlay();
  MountedOverlay(const MountedOverlay&) = delete;
  MountedOverlay& operator=(const MountedOverlay&) = delete;

  [[nodiscard]] bool is_mounted() const noexcept { return is_mounted_; }

 private:
  std::string directory_;
  bool is_mounted_ = false;
};

// What tar makes of an archive in a directory, owners and xattrs included; its words if it fails.
std::string extract_with_tar(const std::string& archive, const std::string& directory);

Listing list_files(const std::string& directory);

// The differences, a line for each.
std::string differences(const Listing& actual, const Listing& expected);

}  // namespace varve::test
