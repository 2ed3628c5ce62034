// Numbers and layouts of the kernel's interface for TCMU. Its own header is not C++.
#pragma once

#include <cstddef>
#include <cstdint>

namespace varve::tcmu {

inline constexpr const char* kParameters = "/sys/module/target_core_user/parameters/";
inline constexpr const char* kTargetRoot = "/sys/kernel/config/target/";

// The mailbox, at the beginning of the memory that is shared.
inline constexpr std::uint16_t kMailboxVersion = 2;
inline constexpr std::uint16_t kAnswersInAnyOrder = 1 << 0;  // flags
inline constexpr std::uint16_t kTakesReadLength = 1 << 1;
inline constexpr std::size_t kMailboxVersionAt = 0;
inline constexpr std::size_t kMailboxFlagsAt = 2;
inline constexpr std::size_t kEntriesOffsetAt = 4;
inline constexpr std::size_t kEntriesSizeAt = 8;
inline constexpr std::size_t kHeadAt = 12;  // the kernel's: behind the newest entry
inline constexpr std::size_t kTailAt = 64;  // ours: behind the newest answer
inline constexpr std::size_t kMailboxBytes = 68;

// An entry: length and kind in one number, then what is the same in commands and answers.
inline constexpr std::uint32_t kEntryAlignment = 8;
inline constexpr std::uint32_t kEntryKindMask = 7;
inline constexpr std::uint32_t kPadEntry = 0;
inline constexpr std::uint32_t kCommandEntry = 1;
inline constexpr std::uint32_t kTaskManagementEntry = 2;
inline constexpr std::size_t kEntryIdAt = 4;
inline constexpr std::size_t kEntryFlagsAt = 7;
inline constexpr std::uint8_t kUnknownEntry = 1;  // flags
inline constexpr std::uint8_t kHasReadLength = 2;
inline constexpr std::size_t kEntryHeaderBytes = 8;

inline constexpr std::size_t kPieceCountAt = 8;
inline constexpr std::size_t kSecondPieceCountAt = 12;  // of data that go the other way
inline constexpr std::size_t kCommandOffsetAt = 24;
inline constexpr std::size_t kPiecesAt = 48;
inline constexpr std::size_t kPieceBytes = 16;

inline constexpr std::size_t kStatusAt = 8;
inline constexpr std::size_t kReadLengthAt = 12;
inline constexpr std::size_t kSenseAt = 16;
// Command entries have room for an answer.
inline constexpr std::size_t kCommandEntryBytesMin = 112;

enum class NetlinkCommand : std::uint8_t {
  kAdded = 1,
  kRemoved = 2,
  kReconfigured = 3,
  kAddedDone = 4,
  kRemovedDone = 5,
  kReconfiguredDone = 6,
  kSetFeatures = 7,
};

enum NetlinkAttribute : std::uint16_t {
  kDeviceAttribute = 1,
  kMinorAttribute = 2,
  kStatusAttribute = 7,
  kDeviceIdAttribute = 8,
  kAnswersAttribute = 9,
};

}  // namespace varve::tcmu
