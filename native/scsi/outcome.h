// How a command ends: a status, and for one that failed the sense data that say why.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace varve::scsi {

// Key and additional code, as the standards number them.
struct Sense {
  std::uint8_t key = 0;
  std::uint16_t code = 0;

  friend bool operator==(const Sense&, const Sense&) = default;
};

inline constexpr Sense kNoSense{};
inline constexpr Sense kManualInterventionRequired{.key = 0x02, .code = 0x0403};
inline constexpr Sense kReadError{.key = 0x03, .code = 0x1100};
inline constexpr Sense kWriteError{.key = 0x03, .code = 0x0c00};
inline constexpr Sense kInternalFailure{.key = 0x04, .code = 0x4400};
inline constexpr Sense kParameterListLength{.key = 0x05, .code = 0x1a00};
inline constexpr Sense kInvalidOperation{.key = 0x05, .code = 0x2000};
inline constexpr Sense kOutOfRange{.key = 0x05, .code = 0x2100};
inline constexpr Sense kInvalidField{.key = 0x05, .code = 0x2400};
inline constexpr Sense kInvalidParameter{.key = 0x05, .code = 0x2600};
inline constexpr Sense kSavingNotSupported{.key = 0x05, .code = 0x3900};
inline constexpr Sense kCapacityChanged{.key = 0x06, .code = 0x2a09};
inline constexpr Sense kWriteProtected{.key = 0x07, .code = 0x2700};
// Linux tells the user ENOSPC for it.
inline constexpr Sense kNoSpace{.key = 0x07, .code = 0x2707};

struct Outcome {
  enum class Status : std::uint8_t { kGood = 0x00, kCheckCondition = 0x02, kBusy = 0x08 };

  Status status = Status::kGood;
  Sense sense{};
  // How much of the data area holds data for the initiator.
  std::uint64_t data_bytes = 0;

  [[nodiscard]] static Outcome good(std::uint64_t data_bytes = 0) noexcept {
    return {.data_bytes = data_bytes};
  }
  [[nodiscard]] static Outcome failed(Sense sense) noexcept {
    return {.status = Status::kCheckCondition, .sense = sense};
  }
  [[nodiscard]] static Outcome busy() noexcept { return {.status = Status::kBusy}; }
};

inline constexpr std::size_t kSenseBytes = 96;  // as the kernel takes them

// Sense data of the fixed format.
[[nodiscard]] constexpr std::array<std::byte, kSenseBytes> sense_data(Sense sense) noexcept {
  std::array<std::byte, kSenseBytes> bytes{};
  bytes[0] = std::byte{0x70};
  bytes[2] = static_cast<std::byte>(sense.key);
  bytes[7] = std::byte{10};  // bytes that follow
  bytes[12] = static_cast<std::byte>(sense.code >> 8);
  bytes[13] = static_cast<std::byte>(sense.code & 0xff);
  return bytes;
}

}  // namespace varve::scsi
