#include "bd/memory_pressure.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "transport/capability.h"
#include "transport/kernel_files.h"

namespace varve::bd {

namespace {

constexpr const char* kScoreFile = "/proc/self/oom_score_adj";
// The kernel ends processes with more first; one with -1000 it never ends.
constexpr int kScore = -999;

// With a limit, allocations would fail later, once the locked memory has come up to it.
int allow_locked_memory() {
  if (transport::has_capability(CAP_IPC_LOCK)) return 0;
  constexpr rlimit kUnlimited = {RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &kUnlimited) == 0) return 0;
  const int error = errno;
  rlimit limit = {};
  const bool is_unlimited =
      ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
  return is_unlimited ? 0 : error;
}

// Pages are locked once they are touched: stacks of threads are mostly untouched.
int lock_memory() {
  if (const int error = allow_locked_memory(); error != 0) return error;
  return ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 ? 0 : errno;
}

int lower_score() {
  if (std::atoi(transport::read_line(kScoreFile).c_str()) <= kScore) return 0;
  return -transport::write_text(kScoreFile, std::to_string(kScore));
}

}  // namespace

std::vector<std::string> prepare_for_memory_pressure() {
  std::vector<std::string> refused;
  if (const int error = lock_memory(); error != 0) {
    refused.push_back(std::string("memory cannot be locked (") + std::strerror(error) +
                      "): a writable device may wait for itself when memory is short; run the "
                      "daemon with CAP_IPC_LOCK, or with LimitMEMLOCK=infinity in its unit");
  }
  if (const int error = lower_score(); error != 0) {
    refused.push_back(std::string("the OOM score cannot be lowered (") + std::strerror(error) +
                      "): when memory is short the kernel may end the daemon, and its devices "
                      "wait for the next one; run it with CAP_SYS_RESOURCE, or with "
                      "OOMScoreAdjust=-999 in its unit");
  }
  return refused;
}

}  // namespace varve::bd
