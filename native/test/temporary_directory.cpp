#include "test/temporary_directory.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "helper/mount_points.h"

namespace varve::test {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> mounts_below(const std::string& directory) {
  std::vector<std::string> found;
  std::ifstream table("/proc/self/mountinfo");
  std::string line;
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string skipped;
    std::string mount_point;
    fields >> skipped >> skipped >> skipped >> skipped >> mount_point;
    const std::string path = unescape_mount_field(mount_point);
    if (path.rfind(directory + "/", 0) == 0) found.push_back(path);
  }
  return found;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  path_ = fs::temp_directory_path().string() + "/varve-native-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) std::abort();
}

TemporaryDirectory::~TemporaryDirectory() {
  const std::vector<std::string> mounts = mounts_below(path_);
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    ::umount2(mount->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  }
  // Deleting through a mount that could not be removed would reach into other trees.
  if (mounts_below(path_).empty()) {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
}

void TemporaryDirectory::make_directory(const std::string& name) const {
  fs::create_directories(at(name));
}

void TemporaryDirectory::write_file(const std::string& name, const std::string& content) const {
  std::ofstream(at(name)) << content;
}

void TemporaryDirectory::bind(const std::string& source, const std::string& target) const {
  ASSERT_EQ(::mount(at(source).c_str(), at(target).c_str(), nullptr, MS_BIND, nullptr), 0);
}

bool TemporaryDirectory::exists(const std::string& name) const {
  struct stat status = {};
  return ::lstat(at(name).c_str(), &status) == 0;
}

}  // namespace varve::test
