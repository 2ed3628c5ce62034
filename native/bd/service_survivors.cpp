// How the service goes on with the devices of a predecessor, and leaves its own to a successor.
#include <algorithm>
#include <asio/post.hpp>
#include <system_error>
#include <utility>

#include "bd/replies.h"
#include "bd/service_job.h"

namespace varve::bd {

namespace {

std::chrono::milliseconds pause_after(unsigned attempts) {
  const unsigned doublings = std::min(attempts, 16U);
  return std::min(kTakeOverPauseMax, kTakeOverPause * (1U << doublings));
}

}  // namespace

void Service::take_over(Survivors survivors) {
  for (auto& survivor : survivors) {
    DeviceNote note;
    std::string problem;
    try {
      note = parse_device_note(survivor->note());
      if (devices_.contains(note.device)) problem = "its name is taken";
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (!problem.empty()) {
      around_.log.error("a device of a predecessor is left waiting: " + problem,
                        {{"device", note.device}, {"path", survivor->path()}});
      drop_elsewhere(std::move(survivor));
      continue;
    }
    const EntryPointer entry = make_entry(note.device, note.config, survivor->transport());
    entry->state = "recovering";
    entry->opened_at = note.opened_at;
    entry->survivor = std::move(survivor);
    devices_.emplace(note.device, entry);
    waiting_.push_back(entry);
  }
  take_over_next();
}

void Service::find_survivors(std::function<Survivors()> find) {
  jobs_.start([this, find = std::move(find)] {
    const auto found = std::make_shared<Survivors>();
    try {
      *found = find();
    } catch (const std::exception& error) {
      around_.log.error(error.what(), {});
    }
    asio::post(context_, [this, found] {
      if (stage_ == Stage::kServing) take_over(std::move(*found));
    });
  });
}

// The images are opened side by side, though not hundreds of them.
void Service::take_over_next() {
  while (stage_ == Stage::kServing && !waiting_.empty() && taking_over_ < kTakeOverAtOnceMax) {
    const EntryPointer entry = std::move(waiting_.front());
    waiting_.pop_front();
    const auto found = devices_.find(entry->parts.name);
    if (found == devices_.end() || found->second != entry || entry->survivor == nullptr) continue;
    const auto job = std::make_shared<Job>(context_, "take-over", nullptr);
    ++taking_over_;
    try {
      start_job(entry, job, [this, job, entry]() -> std::function<void()> {
        try {
          auto device = Device::take_over(*entry->survivor, parse_device_note(entry->survivor->note()),
                                          around_, entry->parts);
          return [this, entry, device = std::move(device)] { taken_over(entry, device); };
        } catch (const std::exception& error) {
          return [this, entry, text = std::string(error.what())] { not_taken_over(entry, text); };
        }
      });
    } catch (const std::exception& error) {
      not_taken_over(entry, error.what());
    }
  }
}

void Service::taken_over(const EntryPointer& entry, const std::shared_ptr<Device>& device) {
  --taking_over_;
  entry->survivor = nullptr;
  entry->problem.clear();
  entry->device = device;
  if (entry->opened_at.empty()) entry->opened_at = utc_now();
  entry->state = device->is_let_go() ? "closing" : device->is_sealed() ? "sealed" : "open";
  if (device->is_let_go()) watch_lingering();
  Json fields = {{"path", device->path()},
                 {"config", entry->config},
                 {"transport", entry->transport}};
  fields.update(description_of(*device));
  tell("recovered", entry, fields);
  take_over_next();
}

// Its users wait meanwhile: what is missing may come back, and an error would be for ever.
void Service::not_taken_over(const EntryPointer& entry, const std::string& problem) {
  --taking_over_;
  const unsigned attempts = entry->attempts++;
  if (entry->problem != problem) {
    around_.log.error("a device of a predecessor cannot be served: its users wait",
                      {{"device", entry->parts.name},
                       {"path", entry->survivor->path()},
                       {"config", entry->config},
                       {"reason", problem}});
    tell("error", entry,
         {{"operation", "take-over"}, {"code", "open-failed"}, {"message", problem}});
  }
  entry->problem = problem;
  const auto timer = std::make_shared<asio::steady_timer>(context_, pause_after(attempts));
  // What it waits for may be given up meanwhile, and must not live on with it.
  timer->async_wait([this, waiting = std::weak_ptr(entry), timer](const std::error_code& error) {
    const EntryPointer again = waiting.lock();
    if (error || again == nullptr || stage_ != Stage::kServing) return;
    waiting_.push_back(again);
    take_over_next();
  });
  take_over_next();
}

// Anything but an end would have to serve it first.
void Service::close_survivor(const EntryPointer& entry, const CloseRequest& request,
                             const Reply& reply) {
  if (request.mode != transport::CloseMode::kAbort) {
    throw RequestError("busy", "device " + entry->parts.name + " is not served again yet" +
                                   (entry->problem.empty() ? "" : ": " + entry->problem) +
                                   "; wait until it is, or give it up with mode abort");
  }
  give_up(entry, reply);
}

void Service::give_up(const EntryPointer& entry, Reply reply) {
  const auto job = std::make_shared<Job>(context_, "close", std::move(reply));
  start_job(entry, job, [this, job, survivor = entry->survivor]() -> std::function<void()> {
    survivor->abort();
    return [this, job] {
      const EntryPointer of = job->entry;
      tell("closed", of, {{"path", of->survivor->path()}});
      forget(of);
      Device::Closed gone;
      gone.is_gone = true;
      job->answer(closed_reply(of->parts.name, gone));
    };
  });
}

bool Service::leaves_devices() const {
  return std::any_of(devices_.begin(), devices_.end(),
                     [this](const auto& one) { return is_left_behind(*one.second); });
}

bool Service::is_left_behind(const Entry& entry) const {
  if (!leaves_devices_) return false;
  return entry.survivor != nullptr || (entry.device != nullptr && entry.device->outlives_process());
}

void Service::hand_over(std::function<void()> done) {
  leaves_devices_ = true;
  stop(std::move(done));
}

}  // namespace varve::bd
