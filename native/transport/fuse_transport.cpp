#include "transport/fuse_transport.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "transport/capability.h"
#include "transport/fuse_device.h"
#include "transport/fuse_mount.h"

namespace varve::transport {

namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr const char* kRequestPrefix = "serving/request/";

// Whether the kernel has ended the connection.
bool has_ended(int fuse) {
  pollfd looked = {fuse, POLLIN, 0};
  return ::poll(&looked, 1, 0) > 0 && (looked.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

class FuseSurvivor final : public Survivor {
 public:
  FuseSurvivor(const FuseSurroundings& around, LeftDevice left,
               std::shared_ptr<const LeftRequests> requests)
      : around_(around), left_(std::move(left)), requests_(std::move(requests)) {
    // For a holder that takes the place of this one before the device is served.
    std::vector<int> descriptors = {left_.record_file.get(), left_.fuse.get()};
    if (left_.loop) descriptors.insert(descriptors.end(), {left_.mount.get(), left_.loop.get()});
    left_.place.park(descriptors);
  }
  ~FuseSurvivor() override {
    if (!left_.place.is_there()) return;
    // Neither served nor given up: another daemon may know what to do with it, and needs all of it.
    left_.place.leave();
    for (const auto& request : *requests_) request->leave();
  }
  FuseSurvivor(const FuseSurvivor&) = delete;
  FuseSurvivor& operator=(const FuseSurvivor&) = delete;

  [[nodiscard]] const std::string& path() const noexcept override { return left_.record.path; }
  [[nodiscard]] const std::string& note() const noexcept override { return left_.record.note; }
  [[nodiscard]] std::string transport() const override { return FuseTransport::kName; }
  [[nodiscard]] bool is_let_go() const noexcept override { return !left_.loop; }

  std::unique_ptr<AttachedDevice> serve(std::shared_ptr<BlockDevice> content,
                                        bool /*is_read_only*/) override {
    return std::make_unique<FuseDevice>(around_, left_, *requests_, std::move(content));
  }

  void abort() noexcept override {
    static_cast<void>(abort_fuse_connection(left_.record.fuse_device));
    left_.place.drop();
    left_.fuse.reset();
    left_.loop.reset();
    left_.mount.reset();
  }

 private:
  FuseSurroundings around_;
  LeftDevice left_;
  std::shared_ptr<const LeftRequests> requests_;
};

}  // namespace

FuseTransport::FuseTransport(std::shared_ptr<ServingPool> pool, OpenFuse open,
                             holder::HolderClient* holder, bool uses_resend)
    : pool_(std::move(pool)), open_(std::move(open)), holder_(holder), uses_resend_(uses_resend) {
  if (!open_) open_ = [](const std::string&) { return open_fuse(); };
}

std::vector<std::string> FuseTransport::lacking() const {
  std::vector<std::string> found;
  if (!has_capability(CAP_SYS_ADMIN)) {
    found.emplace_back(kNoAdminCapability);
  }
  constexpr std::array<std::array<const char*, 2>, 2> kNeeded = {
      {{"/dev/fuse", "fuse"}, {"/dev/loop-control", "loop"}}};
  for (const auto& [path, module] : kNeeded) {
    if (const UniqueFd file(::open(path, O_RDWR | O_CLOEXEC)); file) continue;
    const int error = errno;
    const bool is_forbidden = error == EACCES || error == EPERM;
    found.push_back(std::string(path) + " cannot be opened (" + std::strerror(error) + "): " +
                    (is_forbidden ? "run this process as root"
                                  : std::string("load the kernel's module ") + module) +
                    ", or let its container have the device");
  }
  return found;
}

std::unique_ptr<AttachedDevice> FuseTransport::attach(std::shared_ptr<BlockDevice> content,
                                                      const AttachOptions& options) {
  const std::uint64_t size = content->size();
  if (size == 0 || size % kSectorBytes != 0 || size > INT64_MAX) {
    throw TransportError(EINVAL, "a device of " + std::to_string(size) +
                                     " bytes: the size must be a multiple of 512 and not 0");
  }
  return std::make_unique<FuseDevice>(around(), open_(options.name), std::move(content), options);
}

std::vector<std::unique_ptr<Survivor>> FuseTransport::survivors() {
  if (holder_ == nullptr) return {};
  std::vector<std::unique_ptr<Survivor>> found;
  const auto requests = std::make_shared<LeftRequests>();
  std::vector<holder::ParkedThing> devices;
  for (holder::ParkedThing& thing : holder_->take_left()) {
    if (thing.name.starts_with(kRequestPrefix) && thing.descriptors.size() == 1) {
      try {
        requests->push_back(std::make_unique<RequestBuffer>(
            holder::ParkedPlace(holder_, thing.name), std::move(thing.descriptors[0])));
      } catch (const std::system_error&) {
        // Of another version.
      }
    } else if (thing.name.starts_with(FuseDevice::kPlacePrefix)) {
      devices.push_back(std::move(thing));
    }
  }
  for (holder::ParkedThing& thing : devices) {
    holder::ParkedPlace place(holder_, thing.name);
    // A record and the connection, and where it was not let go of, the mount and the loop device.
    if (thing.descriptors.size() != 2 && thing.descriptors.size() != 4) {
      place.leave();
      continue;
    }
    FuseRecord record;
    try {
      record = read_record(thing.descriptors[0].get());
    } catch (const TransportError&) {
      // Of another version: without a note nobody serves it, and it is left as it is.
    }
    LeftDevice left{.record = std::move(record),
                    .place = std::move(place),
                    .record_file = std::move(thing.descriptors[0]),
                    .fuse = std::move(thing.descriptors[1]),
                    .mount = {},
                    .loop = {}};
    if (has_ended(left.fuse.get())) continue;
    if (thing.descriptors.size() == 4) {
      left.mount = std::move(thing.descriptors[2]);
      left.loop = std::move(thing.descriptors[3]);
    }
    found.push_back(std::make_unique<FuseSurvivor>(around(), std::move(left), requests));
  }
  return found;
}

std::function<std::unique_ptr<RequestBuffer>()> parked_buffers(holder::Parking& parking) {
  std::uint64_t process_key = 0;
  if (::getrandom(&process_key, sizeof process_key, 0) != sizeof process_key) {
    throw TransportError(errno, std::string("getrandom: ") + std::strerror(errno));
  }
  const auto count = std::make_shared<std::atomic<std::uint64_t>>(0);
  return [&parking, process_key, count] {
    const std::string name = kRequestPrefix + std::to_string(process_key) + "/" +
                             std::to_string((*count)++);
    return std::make_unique<RequestBuffer>(holder::ParkedPlace(&parking, name));
  };
}

}  // namespace varve::transport
