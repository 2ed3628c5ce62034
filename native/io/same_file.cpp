#include "io/same_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace varve::io {

namespace {

namespace fs = std::filesystem;

// As the kernel has it.
constexpr int kLinksMax = 40;

// Where a file would be made that does not exist; links may lead there.
std::optional<std::pair<struct stat, std::string>> place_of(fs::path path) {
  std::error_code error;
  for (int links = 0; links < kLinksMax && fs::is_symlink(path, error); ++links) {
    const fs::path target = fs::read_symlink(path, error);
    if (error) return std::nullopt;
    path = path.parent_path() / target;
  }
  const fs::path folder = path.parent_path();
  struct stat status = {};
  if (::stat(folder.empty() ? "." : folder.c_str(), &status) != 0) return std::nullopt;
  return std::pair(status, path.filename().string());
}

bool is_same(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

bool is_same_file(const std::string& one, const std::string& other) {
  struct stat first = {};
  struct stat second = {};
  const bool has_first = ::stat(one.c_str(), &first) == 0;
  const bool has_second = ::stat(other.c_str(), &second) == 0;
  if (has_first && has_second) return is_same(first, second);
  if (has_first || has_second) return false;
  const auto here = place_of(one);
  const auto there = place_of(other);
  // Without a folder nothing can be made, but the folder may come.
  if (!here || !there) return fs::path(one).lexically_normal() == fs::path(other).lexically_normal();
  return is_same(here->first, there->first) && here->second == there->second;
}

}  // namespace varve::io
