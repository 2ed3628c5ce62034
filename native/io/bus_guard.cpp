#include "io/bus_guard.h"

#include <setjmp.h>
#include <signal.h>

#include <cstdlib>

namespace varve::io {

namespace {

thread_local sigjmp_buf* way_out = nullptr;
struct sigaction action_before = {};

void on_bus_error(int /*signal*/, siginfo_t* /*information*/, void* /*context*/) {
  if (way_out != nullptr) ::siglongjmp(*way_out, 1);
  // Not ours: the access is repeated and meets whatever was there before us.
  ::sigaction(SIGBUS, &action_before, nullptr);
}

bool install() noexcept {
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  // The handler never returns to the access, so the signal must not stay blocked.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return ::sigaction(SIGBUS, &action, &action_before) == 0;
}

}  // namespace

bool run_guarded(void (*work)(void*), void* context) noexcept {
  static const bool is_installed = install();
  if (!is_installed) std::abort();
  sigjmp_buf buffer;
  // Without the signal mask, which costs a system call and does not change.
  if (sigsetjmp(buffer, 0) != 0) {
    way_out = nullptr;
    return false;
  }
  way_out = &buffer;
  work(context);
  way_out = nullptr;
  return true;
}

}  // namespace varve::io
