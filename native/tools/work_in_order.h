// Work on many pieces by as many threads as there are processors, whose results are taken in the
// order of the pieces.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace varve::tools {

// `next()` gives the next piece in a std::optional, nothing behind the last one; one thread at a
// time calls it. `work(piece, result)` runs beside others and fills a Result, which may hold what is
// left of an earlier piece: its memory can be used again. `take(result)` gets the results on the
// calling thread. What any of them throws ends the whole once the work under way has ended.
template <class Result, class Next, class Work, class Take>
void work_in_order(Next next, Work work, Take take) {
  struct Slot {
    bool is_done = false;
    std::exception_ptr failure;
    Result result{};
  };
  const unsigned thread_count = std::max(1U, std::thread::hardware_concurrency());
  // One more, so that no thread idles while a result is taken.
  std::vector<Slot> slots(thread_count + 1);
  std::mutex mutex;  // all below, and is_done of the slots
  std::condition_variable changed;
  std::uint64_t begun = 0;
  std::uint64_t taken = 0;
  bool is_ending = false;

  const auto run = [&] {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return is_ending || begun - taken < slots.size(); });
      if (is_ending) return;
      Slot& slot = slots[begun % slots.size()];
      try {
        auto piece = next();
        is_ending = !piece.has_value();
        if (is_ending) break;
        ++begun;
        lock.unlock();
        work(std::move(*piece), slot.result);
      } catch (...) {
        slot.failure = std::current_exception();
        if (lock.owns_lock()) ++begun;
      }
      if (!lock.owns_lock()) lock.lock();
      is_ending = is_ending || slot.failure != nullptr;
      slot.is_done = true;
      changed.notify_all();
    }
    changed.notify_all();
  };

  std::vector<std::jthread> threads;
  const struct Ending {
    std::mutex& mutex;
    std::condition_variable& changed;
    bool& is_ending;
    ~Ending() {
      const std::lock_guard lock(mutex);
      is_ending = true;
      changed.notify_all();
    }
  } ending{mutex, changed, is_ending};
  for (unsigned number = 0; number < thread_count; ++number) threads.emplace_back(run);

  std::unique_lock lock(mutex);
  for (;;) {
    Slot& slot = slots[taken % slots.size()];
    changed.wait(lock, [&] { return slot.is_done || (is_ending && begun == taken); });
    if (!slot.is_done) return;
    lock.unlock();
    if (slot.failure) std::rethrow_exception(slot.failure);
    take(slot.result);
    lock.lock();
    slot.is_done = false;
    ++taken;
    changed.notify_all();
  }
}

}  // namespace varve::tools
