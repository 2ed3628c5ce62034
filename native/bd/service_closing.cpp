// How the service lets go of devices: of one when it is asked to, of all at the end.
#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_future.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "bd/replies.h"
#include "bd/service_job.h"
#include "helper/failure.h"

namespace varve::bd {

namespace {

// Waits in parts, so that somebody else can put an end to it.
Device::Closed close_in_parts(Device& device, const CloseRequest& request,
                              const Cancellation& cancellation) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + request.patience;
  while (true) {
    const Clock::time_point begin = Clock::now();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - begin);
    const auto part = std::clamp(left, std::chrono::milliseconds(0), kClosePart);
    Device::Closed closed = device.close(request.mode, part);
    const Clock::time_point now = Clock::now();
    // One that did not wait would not do so the next time either.
    const bool has_waited = now - begin >= part;
    if (closed.is_gone || !has_waited || now >= deadline || cancellation.is_cancelled()) {
      return closed;
    }
  }
}

}  // namespace

void Service::run(const CloseRequest& request, Reply reply) {
  if (const EntryPointer busy = find(request.device);
      busy->job != nullptr && busy->job->gives_way_to(request.mode)) {
    close_next(busy, request, std::move(reply));
    return;
  }
  if (const EntryPointer found = find(request.device);
      found->survivor != nullptr && found->job == nullptr) {
    close_survivor(found, request, reply);
    return;
  }
  const EntryPointer entry = find_idle(request.device);
  const auto job = std::make_shared<Job>(context_, "close", std::move(reply));
  job->close_mode = request.mode;
  auto device = entry->device;
  start_job(entry, job, [this, job, device, request]() mutable -> std::function<void()> {
    const Device::Closed closed = close_in_parts(*device, request, job->cancellation);
    const std::string path = device->path();
    if (closed.is_gone) release(job, std::move(device));
    return [this, job, closed, path] {
      const EntryPointer of = job->entry;
      if (closed.is_gone) {
        Json fields = {{"path", path}};
        if (closed.flush_error != 0) fields["flushError"] = error_name(-closed.flush_error);
        tell("closed", of, fields);
        forget(of);
      } else {
        of->state = "closing";
        watch_lingering();
      }
      if (closed.flush_error != 0) {
        const bool is_full = closed.flush_error == -ENOSPC || closed.flush_error == -EDQUOT;
        const DeviceError error(is_full ? "no-space" : "failed", "device " + of->parts.name +
                                              " is closed, but what was written last may be lost: "
                                              "flushing failed with " +
                                              error_name(-closed.flush_error));
        around_.log.error(error.what(), {{"device", of->parts.name}});
        job->answer(error_reply(error.code(), error.what()));
        return;
      }
      job->answer(closed_reply(of->parts.name, closed));
    };
  });
  await(job, request.patience + kCloseGrace);
}

// The one that waits now is told how far it came.
void Service::close_next(const EntryPointer& entry, const CloseRequest& request, Reply reply) {
  entry->job->cancellation.cancel();
  if (entry->job->reply) await(entry->job, kCloseGrace);
  entry->next = [this, entry, request, reply = std::move(reply)] {
    const auto found = devices_.find(request.device);
    if (found != devices_.end() && found->second == entry) {
      handle(request, reply);
    } else {
      Device::Closed gone;
      gone.is_gone = true;
      reply(closed_reply(request.device, gone));
    }
  };
}

void Service::end(const std::string& name, std::function<void()> done) {
  const auto found = devices_.find(name);
  if (found == devices_.end()) {
    done();
    return;
  }
  const EntryPointer entry = found->second;
  if (entry->job != nullptr) {
    entry->job->cancellation.cancel();
    entry->next = [this, entry, name, done = std::move(done),
                   before = std::exchange(entry->next, nullptr)] {
      if (before) before();
      const auto still = devices_.find(name);
      if (still != devices_.end() && still->second == entry) {
        end(name, done);
      } else {
        done();
      }
    };
    return;
  }
  if (entry->survivor != nullptr) {
    tell("closed", entry, {{"path", entry->survivor->path()}});
    forget(entry);
    done();
    return;
  }
  entry->state = "closing";
  watch_lingering();
  try {
    run(CloseRequest{.device = name,
                     .mode = transport::CloseMode::kDetach,
                     .patience = kRemovalPatience},
        [done = std::move(done)](const Json&) { done(); });
  } catch (const std::exception&) {
    // There is no thread for it now; it is tried again as for all that linger.
  }
}

// Devices that were let go of stay in the table until their last user is gone.
void Service::watch_lingering() {
  if (is_linger_watched_) return;
  is_linger_watched_ = true;
  linger_timer_.expires_after(kLingerInterval);
  linger_timer_.async_wait([this](const std::error_code& error) {
    is_linger_watched_ = false;
    if (error || stage_ != Stage::kServing) return;
    bool is_anybody_left = false;
    const auto devices = devices_;
    for (const auto& [name, entry] : devices) {
      if (std::string_view(entry->state) != "closing") continue;
      is_anybody_left = true;
      if (entry->job != nullptr || entry->device == nullptr) continue;
      // Looking for users takes a look at every process.
      if (!entry->device->can_go_on_closing()) continue;
      try {
        run(CloseRequest{.device = name,
                         .mode = transport::CloseMode::kDetach,
                         .patience = std::chrono::milliseconds(0)},
            nullptr);
      } catch (const std::exception&) {
        // There is no thread for it now; the next turn tries again.
      }
    }
    if (is_anybody_left) watch_lingering();
  });
}

// By the thread of the job, because closing files can block; and before the job ends, so that the
// layers of a device that is told to be gone can be opened again.
void Service::release(const std::shared_ptr<Job>& job, std::shared_ptr<Device> device) {
  const auto take_out = [job] {
    job->entry->state = "closing";
    job->entry->device = nullptr;
  };
  asio::post(context_, asio::use_future(take_out)).get();
  device = nullptr;
}

// The end of a device closes files, which can block.
void Service::forget(const EntryPointer& entry) {
  devices_.erase(entry->parts.name);
  drop_elsewhere(std::exchange(entry->device, nullptr));
  drop_elsewhere(std::exchange(entry->survivor, nullptr));
}

void Service::drop_elsewhere(std::shared_ptr<void> thing) {
  if (thing == nullptr) return;
  try {
    jobs_.start([thing = std::move(thing)]() mutable { thing.reset(); });
  } catch (const std::system_error&) {
    // Then here.
  }
}

void Service::stop(std::function<void()> done) {
  if (stage_ != Stage::kServing) return;
  stage_ = Stage::kEnding;
  stopped_ = std::move(done);
  linger_timer_.cancel();
  for (const auto& [name, entry] : devices_) {
    if (entry->job != nullptr) entry->job->cancellation.cancel();
  }
  stop_timer_.expires_after(kStopPatience);
  stop_timer_.async_wait([this](const std::error_code& error) {
    if (!error && stage_ == Stage::kEnding) end_of_work();
  });
  stop_deadline_.expires_after(kStopDeadline);
  stop_deadline_.async_wait([this](const std::error_code& error) {
    if (error || stage_ == Stage::kEnded) return;
    for (const auto& [name, entry] : devices_) {
      around_.log.error("not everything ended in time: leaving all the same",
                        {{"device", name}, {"state", entry->state}});
    }
    stage_ = Stage::kEnded;
    stopped_();
  });
  check_stop();
}

void Service::check_stop() {
  if (running_ > 0) return;
  if (stage_ == Stage::kEnding) {
    end_of_work();
  } else if (stage_ == Stage::kClosing) {
    ended();
  }
}

void Service::end_of_work() {
  stop_timer_.cancel();
  close_all();
}

void Service::ended() {
  stage_ = Stage::kEnded;
  stop_deadline_.cancel();
  stopped_();
}

void Service::close_all() {
  stage_ = Stage::kClosing;
  const auto devices = devices_;
  for (const auto& [name, entry] : devices) {
    abandon(entry);
  }
  if (running_ == 0) check_stop();
}

// Whoever still uses a device gets errors from now on, since nobody is left who could serve it; so
// what can be made durable is, and the users are named. One on which a job works comes after that.
void Service::abandon(const EntryPointer& entry) {
  if (entry->job != nullptr || entry->is_abandoned || is_left_behind(*entry)) return;
  entry->is_abandoned = true;
  if (entry->survivor != nullptr) {
    if (entry->survivor->is_ours_to_end()) give_up(entry, nullptr);
    return;
  }
  if (entry->device == nullptr) return;
  const auto job = std::make_shared<Job>(context_, "close", nullptr);
  auto device = entry->device;
  try {
    start_job(entry, job, [this, job, device]() mutable -> std::function<void()> {
      const Device::Closed closed = device->abandon(kStopSyncPatience, kStopDetachPatience);
      const std::string path = device->path();
      if (closed.is_gone) release(job, std::move(device));
      return [this, job, closed, path] {
        const EntryPointer of = job->entry;
        Json fields = {{"path", path}};
        if (closed.is_left) fields["left"] = true;
        if (!closed.is_gone && !closed.is_left) {
          fields["users"] = users_document(closed.users);
          // Nobody else has it open: it is the writing that has not ended.
          const char* text =
              closed.users.empty()
                  ? "the daemon ends before all that was written to the device is on disk"
                  : "the daemon ends while the device is in use: its users get errors";
          around_.log.error(text, {{"device", of->parts.name}, {"users", fields["users"]}});
        }
        if (closed.flush_error != 0) fields["flushError"] = error_name(-closed.flush_error);
        tell("closed", of, fields);
        forget(of);
      };
    });
  } catch (const std::exception& error) {
    // It ends with the process.
    around_.log.error(error.what(), {{"device", entry->parts.name}});
  }
}

}  // namespace varve::bd
