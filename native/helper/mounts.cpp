// Mounting with containerd's options, beyond the page that mount(2) gives them.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "helper/failure.h"
#include "helper/mount_options.h"
#include "helper/operations.h"
#include "helper/relative_lowers.h"
#include "syscalls/varve_sys.h"

namespace varve {

namespace {

// mount(2) takes one page of options with its NUL and silently ignores the rest.
constexpr size_t kDataBytesMax = 4095;
constexpr std::string_view kLowerKey = "lowerdir=";

void require(int result, const char* step, const std::string& path, const char* explanation = "") {
  if (result < 0) throw Failure(-result, step, path, explanation);
}

bool is_lower(const std::string& option) { return option.compare(0, kLowerKey.size(), kLowerKey) == 0; }

// Each lower directory becomes an option of its own, which has no common limit (Linux 6.8).
std::string options_one_by_one(const MountRequest& request, const MountOptions& options) {
  std::string list;
  const auto add = [&](const std::string& option) { list += option + '\0'; };
  if (!request.source.empty()) add("source=" + request.source);
  for (const std::string& name : file_system_flags(options.flags)) add(name);
  for (const std::string& option : options.data) {
    if (request.type != "overlay" || !is_lower(option)) {
      add(option);
      continue;
    }
    for (const std::string& lower : split_lower_directories(option.substr(kLowerKey.size()))) {
      add("lowerdir+=" + lower);
    }
  }
  return list;
}

// The directory that all lower directories share, or nothing if that is not plain.
std::optional<std::string> common_directory(const std::string& lowers) {
  if (lowers.find('\\') != std::string::npos) return std::nullopt;
  std::string common;
  for (const std::string& lower : split_lower_directories(lowers)) {
    if (lower.empty() || lower[0] != '/') return std::nullopt;
    if (common.empty()) {
      common = lower.substr(0, lower.rfind('/') + 1);
      continue;
    }
    const auto differing = std::mismatch(common.begin(), common.end(), lower.begin(), lower.end());
    const auto same = static_cast<size_t>(differing.first - common.begin());
    const size_t slash = common.substr(0, same).rfind('/');
    if (slash == std::string::npos) return std::nullopt;
    common.resize(slash + 1);
  }
  return common.size() > 1 ? std::optional(common) : std::nullopt;
}

}  // namespace

int mount_with_relative_lowers(const MountRequest& request, const MountOptions& options) {
  MountOptions shortened = options;
  std::optional<std::string> common;
  for (std::string& option : shortened.data) {
    if (!is_lower(option)) continue;
    const std::string lowers = option.substr(kLowerKey.size());
    common = common_directory(lowers);
    if (!common) return -E2BIG;
    option = kLowerKey;
    for (const std::string& lower : split_lower_directories(lowers)) {
      if (option.size() > kLowerKey.size()) option += ':';
      option += lower.substr(common->size());
    }
  }
  const std::string data = shortened.joined_data();
  if (!common || data.size() > kDataBytesMax) return -E2BIG;
  if (::chdir(common->c_str()) != 0) return -errno;
  const int result = varve_sys_mount(request.source.c_str(), request.target.c_str(),
                                     request.type.c_str(), options.flags, data.c_str());
  if (::chdir("/") != 0 && result == 0) return -errno;
  return result;
}

namespace {

void mount_long(const MountRequest& request, const MountOptions& options) {
  const std::string list = options_one_by_one(request, options);
  std::array<char, 512> message = {};
  const int result = varve_sys_mount_with_options(
      request.type.c_str(), request.target.c_str(), list.data(), list.size(),
      mount_attributes(options.flags), message.data(), message.size());
  if (result >= 0) return;
  const bool may_lack_support = result == -EINVAL || result == -ENOSYS || result == -E2BIG;
  if (may_lack_support && request.type == "overlay") {
    const int relative = mount_with_relative_lowers(request, options);
    if (relative >= 0) return;
    if (relative != -E2BIG) require(relative, "mount", request.target);
  }
  require(result, "fsconfig", request.target, message.data());
}

void mount_bind(const MountRequest& request, const MountOptions& options) {
  constexpr uint64_t kBindOnly = MS_BIND | MS_REC;
  require(varve_sys_mount(request.source.c_str(), request.target.c_str(), "",
                          options.flags & kBindOnly, ""),
          "mount", request.target);
  // The bind itself ignores every other flag; the second call applies them to the new mount.
  const uint64_t others = options.flags & ~kBindOnly;
  if (others == 0) return;
  const int result = varve_sys_mount("", request.target.c_str(), "",
                                     MS_BIND | MS_REMOUNT | others, "");
  if (result < 0) {
    varve_sys_unmount(request.target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    throw Failure(-result, "remount", request.target);
  }
}

}  // namespace

void mount(const MountRequest& request) {
  const MountOptions options = parse_mount_options(request.options);
  const std::string data = options.joined_data();
  const bool is_bind = (options.flags & MS_BIND) != 0;
  const bool is_remount = (options.flags & MS_REMOUNT) != 0;
  if (is_bind && !is_remount) {
    mount_bind(request, options);
  } else if (data.size() > kDataBytesMax) {
    if (is_remount) throw Failure(E2BIG, "mount", request.target, "too many options to remount");
    mount_long(request, options);
  } else {
    require(varve_sys_mount(request.source.c_str(), request.target.c_str(), request.type.c_str(),
                            options.flags, data.c_str()),
            "mount", request.target);
  }
  if (options.propagation == 0) return;
  const int result =
      varve_sys_mount("", request.target.c_str(), "", options.propagation, "");
  if (result < 0) {
    if (!is_remount) varve_sys_unmount(request.target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    throw Failure(-result, "mount-propagation", request.target);
  }
}

bool unmount(const std::string& target, const std::vector<std::string>& flags) {
  int bits = UMOUNT_NOFOLLOW;
  for (const std::string& flag : flags) {
    if (flag == "detach") {
      bits |= MNT_DETACH;
    } else if (flag == "force") {
      bits |= MNT_FORCE;
    } else if (flag == "expire") {
      bits |= MNT_EXPIRE;
    } else {
      throw Failure(EINVAL, "request", target, "unknown unmount flag " + flag);
    }
  }
  const int result = varve_sys_unmount(target.c_str(), bits);
  if (result == 0) return true;
  if (result == -ENOENT) return false;
  if (result == -EINVAL) {
    varve_sys_file_status status = {};
    const int found = varve_sys_statx(target.c_str(), &status);
    if (found == -ENOENT || (found == 0 && status.is_mount_root == 0)) return false;
  }
  throw Failure(-result, "umount2", target);
}

}  // namespace varve
