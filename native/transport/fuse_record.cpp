#include "transport/fuse_record.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "transport/transport.h"

namespace varve::transport {

namespace {

constexpr std::uint64_t kVersion = 1;
constexpr off_t kBytesMax = off_t{16} << 20;

[[noreturn]] void refuse(const std::string& reason) {
  throw TransportError(EPROTO, "what a predecessor has left of a device: " + reason);
}

std::string encoded(const FuseRecord& record) {
  return nlohmann::json({{"version", kVersion},
                         {"key", record.key},
                         {"readOnly", record.is_read_only},
                         {"resend", record.has_resend},
                         {"fuseDevice", record.fuse_device},
                         {"loopDevice", record.loop_device},
                         {"path", record.path},
                         {"note", record.note}})
      .dump();
}

}  // namespace

UniqueFd write_record(const FuseRecord& record) {
  const std::string text = encoded(record);
  UniqueFd file(::memfd_create("varve-device", MFD_CLOEXEC));
  if (!file ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw TransportError(errno, std::string("the record of a device: ") + std::strerror(errno));
  }
  return file;
}

FuseRecord read_record(int file) {
  struct stat status = {};
  if (::fstat(file, &status) != 0 || status.st_size > kBytesMax) refuse("its size");
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  if (::pread(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    refuse("it cannot be read");
  }
  try {
    const auto document = nlohmann::json::parse(text);
    if (document.at("version").get<std::uint64_t>() != kVersion) refuse("another version's");
    return {.key = document.at("key").get<std::uint64_t>(),
            .is_read_only = document.at("readOnly").get<bool>(),
            .has_resend = document.at("resend").get<bool>(),
            .fuse_device = document.at("fuseDevice").get<dev_t>(),
            .loop_device = document.at("loopDevice").get<dev_t>(),
            .path = document.at("path").get<std::string>(),
            .note = document.at("note").get<std::string>()};
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
}

}  // namespace varve::transport
