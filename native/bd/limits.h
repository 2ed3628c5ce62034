// Every bound of the daemon, with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace varve::bd {

// A request holds a few paths; more is no request.
inline constexpr std::size_t kLineBytesMax = std::size_t{64} << 10;
inline constexpr std::size_t kPathBytesMax = 4095;
inline constexpr std::size_t kDeviceNameBytesMax = 128;

inline constexpr std::size_t kConnectionsMax = 64;
// A client that is refused may go on sending for so long and so much, so that it gets to read why.
inline constexpr std::chrono::milliseconds kRefusedPatience{1'000};
inline constexpr std::size_t kRefusedBytesMax = std::size_t{16} << 20;
// How often the log says that clients cannot be accepted.
inline constexpr std::chrono::seconds kNotAcceptedInterval{60};
// So many are refused at a time; more wait in the kernel's queue until these are gone.
inline constexpr std::size_t kRefusedMax = 16;
// Each request that works on a device has a thread of its own while it runs.
inline constexpr std::size_t kRequestsMax = 256;
inline constexpr std::size_t kRequestsPerConnectionMax = 128;
// Each takes three descriptors and those of its layers.
inline constexpr std::size_t kDevicesMax = 1024;

// Nothing is read from a client that leaves so much of its replies unread.
inline constexpr std::size_t kUnreadBytesMax = std::size_t{256} << 10;
// Events that wait for a reader; those that come on top are counted and told as a gap.
inline constexpr std::size_t kEventsWaitingMax = 1024;

// Lines in the log and events about damage and errors of one device: so many at once, then one for
// each interval.
inline constexpr unsigned kReportsAtOnceMax = 10;
inline constexpr std::chrono::seconds kReportInterval{1};

inline constexpr std::chrono::milliseconds kOpenDeadline{60'000};
inline constexpr std::chrono::milliseconds kWorkDeadline{3'600'000};  // commit, seal, resize
inline constexpr std::chrono::milliseconds kDeadlineMax{86'400'000};
inline constexpr std::chrono::milliseconds kClosePatience{5'000};
inline constexpr std::chrono::milliseconds kPatienceMax{600'000};
// What a close may take besides its patience: looking for users, flushing.
inline constexpr std::chrono::milliseconds kCloseGrace{30'000};

// How soon a close that waits gives way to one that goes further, and to the end of the daemon.
inline constexpr std::chrono::milliseconds kClosePart{250};

// Devices of a predecessor: how many are opened at a time, and how soon one that cannot be is tried
// again; the pause doubles.
inline constexpr unsigned kTakeOverAtOnceMax = 32;
inline constexpr std::chrono::milliseconds kTakeOverPause{250};
inline constexpr std::chrono::milliseconds kTakeOverPauseMax{15'000};

// Devices of the kernel's target: how many are opened at once, the others wait; and how long the kernel
// waits for one that it takes away, since whoever configures another one waits behind it.
inline constexpr std::size_t kTargetOpensMax = 64;
inline constexpr std::chrono::milliseconds kRemovalPatience{5'000};

// How often a device that was let go of is looked at until it is gone.
inline constexpr std::chrono::milliseconds kLingerInterval{500};

// The end of the daemon: for what is running, for what the kernel has yet to write to devices, for
// devices that are in use, and for everything.
inline constexpr std::chrono::milliseconds kStopPatience{1'500};
inline constexpr std::chrono::milliseconds kStopSyncPatience{1'000};
inline constexpr std::chrono::milliseconds kStopDetachPatience{1'000};
inline constexpr std::chrono::milliseconds kStopDeadline{4'500};
// For what is left then: files that are closed, lines of the log.
inline constexpr std::chrono::milliseconds kStopGrace{200};

}  // namespace varve::bd
