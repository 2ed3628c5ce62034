// Numbers and layouts of the kernel's interface for ublk (linux/ublk_cmd.h), of which the headers of
// older systems lack a part: what this kernel has of it, it is asked for (GET_FEATURES).
#pragma once

#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace varve::ublk {

inline constexpr const char* kControlPath = "/dev/ublk-control";
inline constexpr std::uint64_t kSectorBytes = 512;

// A control command: it lies in the submission, behind what every command has.
struct ControlCommand {
  std::uint32_t device = UINT32_MAX;
  std::uint16_t queue = UINT16_MAX;  // none
  std::uint16_t length = 0;          // of what lies at `address`
  std::uint64_t address = 0;
  std::uint64_t value = 0;
  std::uint64_t unused = 0;
};
static_assert(sizeof(ControlCommand) == 32);

struct IoCommand {
  std::uint16_t queue = 0;
  std::uint16_t tag = 0;
  std::int32_t result = 0;
  std::uint64_t address = 0;
};
static_assert(sizeof(IoCommand) == 16);

// Where commands lie in a submission.
inline constexpr std::size_t kCommandAt = 48;

inline constexpr std::uint32_t kGetDeviceInfo = _IOR('u', 0x02, ControlCommand);
inline constexpr std::uint32_t kAddDevice = _IOWR('u', 0x04, ControlCommand);
inline constexpr std::uint32_t kStartDevice = _IOWR('u', 0x06, ControlCommand);
inline constexpr std::uint32_t kStopDevice = _IOWR('u', 0x07, ControlCommand);
inline constexpr std::uint32_t kSetParameters = _IOWR('u', 0x08, ControlCommand);
inline constexpr std::uint32_t kStartRecovery = _IOWR('u', 0x10, ControlCommand);
inline constexpr std::uint32_t kEndRecovery = _IOWR('u', 0x11, ControlCommand);
inline constexpr std::uint32_t kGetFeatures = _IOR('u', 0x13, ControlCommand);
inline constexpr std::uint32_t kDeleteDevice = _IOR('u', 0x14, ControlCommand);  // waits for nobody
inline constexpr std::uint32_t kUpdateSize = _IOWR('u', 0x15, ControlCommand);

inline constexpr std::uint32_t kFetch = _IOWR('u', 0x20, IoCommand);
inline constexpr std::uint32_t kCommitAndFetch = _IOWR('u', 0x21, IoCommand);

// Features, and flags of a device.
inline constexpr std::uint64_t kUserRecovery = 1 << 3;
inline constexpr std::uint64_t kRecoveryReissues = 1 << 4;  // what nobody has answered
inline constexpr std::uint64_t kEncodedCommands = 1 << 6;
inline constexpr std::uint64_t kUserCopy = 1 << 7;
inline constexpr std::uint64_t kCanUpdateSize = 1 << 10;
inline constexpr std::uint64_t kNeededFlags =
    kUserRecovery | kRecoveryReissues | kEncodedCommands | kUserCopy;

enum class DeviceState : std::uint16_t { kDead = 0, kLive = 1, kQuiesced = 2 };

struct DeviceInfo {
  std::uint16_t queue_count = 0;
  std::uint16_t queue_depth = 0;
  DeviceState state = DeviceState::kDead;
  std::uint16_t unused0 = 0;
  std::uint32_t request_bytes_max = 0;
  std::uint32_t number = UINT32_MAX;  // the kernel chooses
  std::int32_t process = 0;
  std::uint32_t unused1 = 0;
  std::uint64_t flags = 0;
  std::uint64_t cookie = 0;  // nothing to the kernel
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::uint64_t unused2 = 0;
  std::uint64_t unused3 = 0;
};
static_assert(sizeof(DeviceInfo) == 64);

inline constexpr std::uint32_t kHasBasic = 1 << 0;
inline constexpr std::uint32_t kHasDiscard = 1 << 1;
inline constexpr std::uint32_t kReadOnly = 1 << 0;
inline constexpr std::uint32_t kVolatileCache = 1 << 2;
inline constexpr std::uint32_t kTakesDurableWrites = 1 << 3;

struct Parameters {
  std::uint32_t length = 0;
  std::uint32_t kinds = 0;
  std::uint32_t attributes = 0;
  std::uint8_t logical_block_shift = 0;
  std::uint8_t physical_block_shift = 0;
  std::uint8_t best_request_shift = 0;
  std::uint8_t least_request_shift = 0;
  std::uint32_t request_sectors_max = 0;
  std::uint32_t chunk_sectors = 0;
  std::uint64_t size_sectors = 0;
  std::uint64_t boundary_mask = 0;
  std::uint32_t discard_alignment = 0;
  std::uint32_t discard_granularity = 0;
  std::uint32_t discard_sectors_max = 0;
  std::uint32_t write_zeroes_sectors_max = 0;
  std::uint16_t discard_pieces_max = 0;
  std::uint16_t unused0 = 0;
  std::uint32_t unused1 = 0;  // not of what the kernel takes
};
inline constexpr std::uint32_t kParametersBytes = offsetof(Parameters, unused1);
static_assert(kParametersBytes == 60);

// A request, in memory that is shared with the kernel.
struct IoDescriptor {
  std::uint32_t operation = 0;  // its flags lie above the first byte
  std::uint32_t sector_count = 0;
  std::uint64_t first_sector = 0;
  std::uint64_t address = 0;
};
static_assert(sizeof(IoDescriptor) == 24);

enum class IoOperation : std::uint8_t {
  kRead = 0,
  kWrite = 1,
  kFlush = 2,
  kDiscard = 3,
  kWriteZeroes = 5,
};
inline constexpr std::uint32_t kOperationMask = 0xff;
inline constexpr std::uint32_t kDurable = 1 << 13;
inline constexpr std::uint32_t kKeepsSpace = 1 << 15;

// The data of the request with that tag, in the file of the device.
constexpr std::uint64_t data_position(std::uint16_t tag) noexcept {
  constexpr std::uint64_t kDataAt = 0x8000'0000;
  constexpr unsigned kTagShift = 25;
  return kDataAt + (std::uint64_t{tag} << kTagShift);
}

}  // namespace varve::ublk
