// Who uses what is to be taken away: a block device, or a file of the kernel that somebody still
// writes to.
#include <dirent.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "helper/operations.h"
#include "transport/device_users.h"
#include "transport/kernel_files.h"

namespace varve {

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool leads_to(const std::string& link, const std::string& path) {
  std::string target(path.size() + 1, '\0');
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length >= 0 && target.substr(0, static_cast<std::size_t>(length)) == path;
}

}  // namespace

std::vector<std::string> device_users(const DeviceNumber& device) {
  std::vector<std::string> texts;
  for (const auto& user : transport::find_device_users(makedev(device.major, device.minor))) {
    texts.push_back(user.text);
  }
  return texts;
}

std::vector<std::string> file_users(const std::string& path) {
  std::vector<std::string> texts;
  for (const std::string& process : transport::names_in("/proc")) {
    if (!is_number(process)) continue;
    const std::string folder = "/proc/" + process;
    for (const std::string& name : transport::names_in(folder + "/fd")) {
      if (!leads_to(folder + "/fd/" + name, path)) continue;
      texts.push_back("process " + process + " (" + transport::read_line(folder + "/comm") + ")");
      break;
    }
  }
  return texts;
}

}  // namespace varve
