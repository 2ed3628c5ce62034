#include "tcmu/target_disks.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "tcmu/protocol.h"
#include "transport/kernel_files.h"

namespace varve::tcmu {

namespace {

std::string link_target(const std::string& path) {
  std::array<char, 4096> text = {};
  const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
  return {text.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Whether a unit of a fabric is the device.
bool is_unit_of(const std::string& unit, const TargetName& target) {
  const std::vector<std::string> names = transport::names_in(unit);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return ends_with(link_target(unit + "/" + name), "/core/" + target.directory());
  });
}

dev_t number_of(const std::string& text) {
  const std::size_t colon = text.find(':');
  unsigned major_number = 0;
  unsigned minor_number = 0;
  if (colon == std::string::npos) return 0;
  std::from_chars(text.data(), text.data() + colon, major_number);
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), minor_number);
  return ::makedev(major_number, minor_number);
}

void add_disks(const std::string& address, std::vector<TargetDisk>& disks) {
  const bool is_address = std::all_of(address.begin(), address.end(), [](char one) {
    return one == ':' || (one >= '0' && one <= '9');
  });
  if (!is_address) return;
  const std::string folder = "/sys/class/scsi_device/" + address + "/device/block";
  for (const std::string& name : transport::names_in(folder)) {
    const dev_t device = number_of(transport::read_line("/sys/class/block/" + name + "/dev"));
    disks.push_back({.name = name, .device = device});
  }
}

}  // namespace

std::vector<TargetDisk> find_disks(const TargetName& target) {
  const std::string unit_prefix = "lun_";
  const std::string fabric = std::string(kTargetRoot) + "loopback";
  std::vector<TargetDisk> disks;
  for (const std::string& port : transport::names_in(fabric)) {
    for (const std::string& group : transport::names_in(fabric + "/" + port)) {
      const std::string folder = fabric + "/" + port + "/" + group;
      for (const std::string& unit : transport::names_in(folder + "/lun")) {
        const bool is_unit = unit.rfind(unit_prefix, 0) == 0;
        if (!is_unit || !is_unit_of(folder + "/lun/" + unit, target)) continue;
        const std::string number = unit.substr(unit_prefix.size());
        add_disks(transport::read_line(folder + "/address") + ":" + number, disks);
      }
    }
  }
  return disks;
}

}  // namespace varve::tcmu
