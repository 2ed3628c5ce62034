// What varve-helper can do. Each function does one thing, throws Failure, and can be repeated: run
// again after any interruption it ends in the same condition.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace varve {

// Called now and then during long walks; may end the process when nobody waits for the result.
using Tick = std::function<void()>;

struct DiskUsage {
  uint64_t size_bytes = 0;   // 512 bytes per block of each distinct inode
  uint64_t inode_count = 0;  // directories included, the root too
};

// Measures what lies at and below `path`. Links are not followed, mount points and all below them
// are left out, entries that vanish meanwhile are ignored.
DiskUsage disk_usage(const std::string& path, const Tick& tick);

// Deletes `path`, which must lie beneath the directory `parent`, and returns the number of entries
// deleted; 0 if it was absent. EBUSY, before anything is deleted, if it is or holds a mount point.
uint64_t remove_tree(const std::string& path, const std::string& parent, const Tick& tick);

// Makes every file and directory at and below `path` durable one by one; returns their number. Mount
// points are left out.
uint64_t sync_tree(const std::string& path, const Tick& tick);

// Writes back the whole file system that holds `path`.
void sync_file_system(const std::string& path);

struct MountRequest {
  std::string type;
  std::string source;
  std::string target;
  std::vector<std::string> options;
};

// Mounts all or nothing: when a later step fails the mount made by an earlier one is detached.
void mount(const MountRequest& request);

// Unmounts; false if nothing is mounted there. `flags` are the names detach, force and expire.
bool unmount(const std::string& target, const std::vector<std::string>& flags);

// Directories, links and small files of the kernel. What is there already is not made, what is gone
// is not removed, and the answer is false.
bool make_directory(const std::string& path);
bool remove_directory(const std::string& path);
bool make_link(const std::string& path, const std::string& target);
bool remove_link(const std::string& path);

// Writes all of the text by one write(2), as the kernel's files want their orders.
void write_attribute(const std::string& path, const std::string& text);

// What a file of the kernel holds, at most 64 KiB; any bytes.
std::string read_attribute(const std::string& path);

struct DirectoryEntry {
  std::string name;
  bool is_link = false;
  std::string target;  // of a link
};

// By name.
std::vector<DirectoryEntry> list_directory(const std::string& path);

struct DeviceNumber {
  unsigned major = 0;
  unsigned minor = 0;
};

// Of a node; ENOTBLK if it is not that of a block device.
DeviceNumber device_number(const std::string& path);

// Everyone found who uses a block device, each as a part of a sentence. Nobody found does not prove
// that nobody does.
std::vector<std::string> device_users(const DeviceNumber& device);

// The processes that have a file open.
std::vector<std::string> file_users(const std::string& path);

// Carries out one request line and returns the reply line, without the line's end. Never throws for
// anything in the line. Test operations are refused unless allowed.
std::string answer(const std::string& line, bool allow_test_operations, const Tick& tick);

}  // namespace varve
