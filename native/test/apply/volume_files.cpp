#include "test/apply/volume_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "syscalls/unique_fd.h"
#include "sha256/sha256.h"
#include "transport/loop_device.h"

extern char** environ;

namespace varve::test {

namespace fs = std::filesystem;

ProgramResult run_program(const std::vector<std::string>& arguments) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  std::vector<char*> raw;
  for (const std::string& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  writer.reset();
  ProgramResult run;
  if (error != 0) return run;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(reader.get(), buffer, sizeof buffer)) > 0;) {
    run.output.append(buffer, static_cast<std::size_t>(got));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

void write_image(const io::File& disk, const std::string& path) {
  const auto file = io::open_writable_file(path, false);
  ASSERT_EQ(file->resize(0), 0);
  ASSERT_EQ(file->resize(disk.size()), 0);
  std::vector<std::byte> bytes(std::size_t{1} << 20);
  for (std::uint64_t offset = 0; offset < disk.size(); offset += bytes.size()) {
    bytes.resize(std::min<std::uint64_t>(bytes.size(), disk.size() - offset));
    ASSERT_EQ(disk.read(bytes, offset), 0);
    // All bytes are like the first, and that is zero.
    if (bytes[0] == std::byte{0} && std::memcmp(&bytes[0], &bytes[1], bytes.size() - 1) == 0) {
      continue;
    }
    ASSERT_EQ(file->write(bytes, offset), 0);
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string check_file_system(const std::string& image) {
  const ProgramResult run = run_program({"e2fsck", "-fn", image});
  return run.status == 0 ? "" : "status " + std::to_string(run.status) + "\n" + run.output;
}

Mounted::Mounted(const std::string& image, const std::string& directory, Access access)
    : directory_(directory) {
  fs::create_directories(directory);
  const bool is_read_only = access == Access::kRead;
  const UniqueFd file(
      ::open(image.c_str(), (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  transport::LoopOptions options;
  options.name = "varve-apply-test";
  options.is_read_only = is_read_only;
  transport::LoopDevice loop(file.get(), options);
  is_mounted_ = ::mount(loop.path().c_str(), directory.c_str(), "ext4",
                        is_read_only ? MS_RDONLY : 0, nullptr) == 0;
  loop.detach();
}

Mounted::~Mounted() {
  if (is_mounted_) ::umount2(directory_.c_str(), 0);
}

MountedOverlay::MountedOverlay(const std::vector<std::string>& directories,
                               const std::string& directory)
    : directory_(directory) {
  fs::create_directories(directory);
  std::string options;
  for (const std::string& lower : directories) {
    options += (options.empty() ? "lowerdir=" : ":") + lower;
  }
  is_mounted_ =
      ::mount("overlay", directory.c_str(), "overlay", MS_RDONLY, options.c_str()) == 0;
}

MountedOverlay::~MountedOverlay() {
  if (is_mounted_) ::umount2(directory_.c_str(), 0);
}

std::string extract_with_tar(const std::string& archive, const std::string& directory) {
  const ProgramResult run =
      run_program({"tar", "--extract", "--file", archive, "--directory", directory, "--xattrs",
                   "--xattrs-include=*", "--same-owner", "--preserve-permissions",
                   "--numeric-owner", "--delay-directory-restore"});
  return run.status == 0 ? "" : "status " + std::to_string(run.status) + "\n" + run.output;
}

namespace {

std::string read_file(const fs::path& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

std::string xattrs_of(const std::string& path) {
  std::vector<char> names(65536);
  const ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> xattrs;
  for (ssize_t at = 0; at < length;) {
    const std::string name(names.data() + at);
    std::vector<char> value(65536);
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    xattrs[name] = size < 0 ? "?" : std::string(value.data(), static_cast<std::size_t>(size));
    at += static_cast<ssize_t>(name.size()) + 1;
  }
  std::string text;
  for (const auto& [name, value] : xattrs) {
    text += " " + name + "=" + sha256(std::as_bytes(std::span(value))).substr(0, 16);
  }
  return text;
}

std::string describe(const std::string& path, const struct stat& status) {
  char text[256];
  std::snprintf(text, sizeof text, "%06o %u:%u %lld.%09ld", status.st_mode, status.st_uid,
                status.st_gid, static_cast<long long>(status.st_mtim.tv_sec),
                status.st_mtim.tv_nsec);
  std::string line = text;
  if (S_ISREG(status.st_mode)) {
    const std::string content = read_file(path);
    line += " size " + std::to_string(status.st_size) + " " +
            sha256(std::as_bytes(std::span(content))).substr(0, 16);
  } else if (S_ISLNK(status.st_mode)) {
    line += " -> " + fs::read_symlink(path).string();
  } else if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    line += " " + std::to_string(major(status.st_rdev)) + ":" +
            std::to_string(minor(status.st_rdev));
  }
  return line + xattrs_of(path);
}

}  // namespace

Listing list_files(const std::string& directory) {
  Listing listing;
  std::map<ino_t, std::string> first_names;
  std::vector<std::string> paths = {directory};
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const std::string name = path == directory ? "/" : path.substr(directory.size());
    if (name == "/lost+found") continue;
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) continue;
    std::string line = describe(path, status);
    if (!S_ISDIR(status.st_mode)) {
      line += " links " + std::to_string(status.st_nlink);
      const auto [first, is_new] = first_names.emplace(status.st_ino, name);
      if (!is_new) line += " same as " + first->second;
    }
    listing[name] = line;
  }
  return listing;
}

std::string differences(const Listing& actual, const Listing& expected) {
  std::string text;
  for (const auto& [path, line] : expected) {
    const auto found = actual.find(path);
    if (found == actual.end()) {
      text += path + ": missing\n";
    } else if (found->second != line) {
      text += path + ":\n  is        " + found->second + "\n  should be " + line + "\n";
    }
  }
  for (const auto& [path, line] : actual) {
    if (!expected.contains(path)) text += path + ": should not be there: " + line + "\n";
  }
  return text;
}

}  // namespace varve::test
