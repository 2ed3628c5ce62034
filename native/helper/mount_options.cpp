#include "helper/mount_options.h"

#include <sys/mount.h>

#include <string_view>
#include <unordered_map>

namespace varve {

namespace {

struct Meaning {
  uint64_t set;
  uint64_t clear;
};

const std::unordered_map<std::string_view, Meaning>& meanings() {
  static const std::unordered_map<std::string_view, Meaning> table = {
      {"async", {0, MS_SYNCHRONOUS}},
      {"atime", {0, MS_NOATIME}},
      {"bind", {MS_BIND, 0}},
      {"defaults", {0, 0}},
      {"dev", {0, MS_NODEV}},
      {"diratime", {0, MS_NODIRATIME}},
      {"dirsync", {MS_DIRSYNC, 0}},
      {"exec", {0, MS_NOEXEC}},
      {"lazytime", {MS_LAZYTIME, 0}},
      {"mand", {MS_MANDLOCK, 0}},
      {"noatime", {MS_NOATIME, 0}},
      {"nodev", {MS_NODEV, 0}},
      {"nodiratime", {MS_NODIRATIME, 0}},
      {"noexec", {MS_NOEXEC, 0}},
      {"nomand", {0, MS_MANDLOCK}},
      {"norelatime", {0, MS_RELATIME}},
      {"nostrictatime", {0, MS_STRICTATIME}},
      {"nosuid", {MS_NOSUID, 0}},
      {"rbind", {MS_BIND | MS_REC, 0}},
      {"relatime", {MS_RELATIME, 0}},
      {"remount", {MS_REMOUNT, 0}},
      {"ro", {MS_RDONLY, 0}},
      {"rw", {0, MS_RDONLY}},
      {"silent", {MS_SILENT, 0}},
      {"strictatime", {MS_STRICTATIME, 0}},
      {"suid", {0, MS_NOSUID}},
      {"sync", {MS_SYNCHRONOUS, 0}},
  };
  return table;
}

const std::unordered_map<std::string_view, uint64_t>& propagations() {
  static const std::unordered_map<std::string_view, uint64_t> table = {
      {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
      {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
      {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
      {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
  };
  return table;
}

}  // namespace

std::string MountOptions::joined_data() const {
  std::string joined;
  for (const std::string& option : data) {
    if (!joined.empty()) joined += ',';
    joined += option;
  }
  return joined;
}

MountOptions parse_mount_options(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& option : options) {
    if (const auto found = meanings().find(option); found != meanings().end()) {
      parsed.flags = (parsed.flags & ~found->second.clear) | found->second.set;
    } else if (const auto kind = propagations().find(option); kind != propagations().end()) {
      parsed.propagation = kind->second;
    } else if (!option.empty()) {
      parsed.data.push_back(option);
    }
  }
  return parsed;
}

uint64_t mount_attributes(uint64_t flags) {
  uint64_t attributes = 0;
  const auto carry = [&](uint64_t flag, uint64_t attribute) {
    if ((flags & flag) != 0) attributes |= attribute;
  };
  carry(MS_RDONLY, MOUNT_ATTR_RDONLY);
  carry(MS_NOSUID, MOUNT_ATTR_NOSUID);
  carry(MS_NODEV, MOUNT_ATTR_NODEV);
  carry(MS_NOEXEC, MOUNT_ATTR_NOEXEC);
  carry(MS_NODIRATIME, MOUNT_ATTR_NODIRATIME);
  // These two share a field of the attribute word; noatime is the stronger wish.
  if ((flags & MS_NOATIME) != 0) {
    attributes |= MOUNT_ATTR_NOATIME;
  } else if ((flags & MS_STRICTATIME) != 0) {
    attributes |= MOUNT_ATTR_STRICTATIME;
  }
  return attributes;
}

std::vector<std::string> file_system_flags(uint64_t flags) {
  std::vector<std::string> names;
  if ((flags & MS_RDONLY) != 0) names.emplace_back("ro");
  if ((flags & MS_SYNCHRONOUS) != 0) names.emplace_back("sync");
  if ((flags & MS_DIRSYNC) != 0) names.emplace_back("dirsync");
  if ((flags & MS_MANDLOCK) != 0) names.emplace_back("mand");
  if ((flags & MS_LAZYTIME) != 0) names.emplace_back("lazytime");
  return names;
}

std::vector<std::string> split_lower_directories(const std::string& value) {
  std::vector<std::string> directories(1);
  for (size_t index = 0; index < value.size(); ++index) {
    if (value[index] == '\\' && index + 1 < value.size()) {
      directories.back() += value[++index];
    } else if (value[index] == ':') {
      directories.emplace_back();
    } else {
      directories.back() += value[index];
    }
  }
  return directories;
}

}  // namespace varve
