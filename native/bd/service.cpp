#include "bd/service.h"

#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_future.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "bd/prometheus.h"
#include "bd/replies.h"
#include "helper/failure.h"

namespace varve::bd {

struct Service::Entry {
  DeviceParts parts;
  std::string config;
  std::string opened_at;
  // What the device is: opening, open, sealed, closing.
  const char* state = "opening";
  // The job that works on it, or null.
  std::shared_ptr<Job> job;
  // What was asked for while that job gave way to it, or null.
  std::function<void()> next;
  // Whether the end of the daemon has let go of it.
  bool is_abandoned = false;
  std::shared_ptr<Device> device;  // null while it is opened, and when it is gone
};

struct Service::Job {
  Job(asio::io_context& context, const char* operation, Reply client)
      : name(operation), reply(std::move(client)), timer(context) {}

  void answer(Json document) {
    if (reply) std::exchange(reply, nullptr)(std::move(document));
  }

  // Whether it only waits, and ends for a close that goes further.
  [[nodiscard]] bool gives_way_to(transport::CloseMode mode) const {
    return close_mode && !cancellation.is_cancelled() && (!reply || *close_mode < mode);
  }

  const char* name;
  Reply reply;
  Cancellation cancellation;
  asio::steady_timer timer;
  EntryPointer entry;
  std::optional<transport::CloseMode> close_mode;  // of a close
};

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

Json closed_reply(const std::string& device, const Device::Closed& closed) {
  return ok_reply({{"device", device},
                   {"gone", closed.is_gone},
                   {"users", users_document(closed.users)}});
}

}  // namespace

Service::Service(asio::io_context& context, const Surroundings& around, Publish publish)
    : context_(context),
      around_(around),
      publish_(std::move(publish)),
      linger_timer_(context),
      stop_timer_(context),
      stop_deadline_(context) {}

void Service::handle(Operation operation, Reply reply) {
  try {
    if (stage_ != Stage::kServing) {
      throw RequestError("stopping", "the daemon is stopping: try again when it has started anew");
    }
    std::visit([&](auto& request) { run(std::move(request), reply); }, operation);
  } catch (const RequestError& error) {
    reply(error_reply(error.code(), error.what()));
  } catch (const std::system_error& error) {
    reply(error_reply("too-many-requests", std::string("the system has no thread for this: ") +
                                               error.what()));
  }
}

void Service::start_job(EntryPointer entry, std::shared_ptr<Job> job,
                        std::function<std::function<void()>()> work) {
  if (running_ >= kRequestsMax) {
    throw RequestError("too-many-requests", std::to_string(running_) +
                                                " requests are under way: wait for some to end");
  }
  jobs_.start([this, job, work = std::move(work)]() mutable {
    std::function<void()> finish;
    try {
      finish = work();
    } catch (const DeviceError& error) {
      finish = [this, job, error] { fail(*job, error); };
    } catch (const std::exception& error) {
      const DeviceError failure("failed", std::string(job->name) + ": " + error.what());
      finish = [this, job, failure] { fail(*job, failure); };
    }
    work = nullptr;
    asio::post(context_, [this, job = std::move(job), finish = std::move(finish)] {
      finish();
      end_job(job);
    });
  });
  ++running_;
  job->entry = entry;
  entry->job = std::move(job);
}

void Service::end_job(const std::shared_ptr<Job>& job) {
  const EntryPointer entry = job->entry;
  job->timer.cancel();
  if (entry->job == job) entry->job = nullptr;
  --running_;
  if (entry->next) std::exchange(entry->next, nullptr)();
  if (stage_ == Stage::kClosing) abandon(entry);
  check_stop();
}

void Service::fail(Job& job, const DeviceError& error) {
  const EntryPointer entry = job.entry;
  around_.log.warn(error.what(), {{"device", entry->parts.name},
                                  {"operation", job.name},
                                  {"config", entry->config},
                                  {"code", error.code()}});
  if (entry->device == nullptr) forget(entry);
  if (error.code() != "in-use") {
    tell("error", entry,
         {{"operation", job.name}, {"code", error.code()}, {"message", error.what()}});
  }
  Json document = error_reply(error.code(), error.what());
  if (!error.users().empty()) document["error"]["users"] = users_document(error.users());
  job.answer(std::move(document));
}

void Service::await(const std::shared_ptr<Job>& job, std::chrono::milliseconds deadline) {
  job->timer.expires_after(deadline);
  job->timer.async_wait([this, job, deadline](const std::error_code& error) {
    if (error || !job->reply) return;
    const bool is_given_up = job->cancellation.cancel();
    // An open that has just finished is about to say so.
    if (!is_given_up && job->entry->device == nullptr) return;
    const std::string what = std::string(job->name) + " of device " + job->entry->parts.name;
    const std::string text = what + " took longer than " + std::to_string(deadline.count()) +
                             " ms; until it comes back, nothing else can be done with the device";
    around_.log.warn(text, {{"device", job->entry->parts.name}, {"operation", job->name}});
    job->answer(error_reply("deadline", text));
    if (job->entry->next) std::exchange(job->entry->next, nullptr)();
  });
}

Service::EntryPointer Service::find(const std::string& name) const {
  const auto found = devices_.find(name);
  if (found == devices_.end()) {
    throw RequestError("not-found", "there is no device " + name + ": list shows those there are");
  }
  return found->second;
}

Service::EntryPointer Service::find_idle(const std::string& name) const {
  EntryPointer entry = find(name);
  if (entry->job != nullptr) {
    throw RequestError("busy", "device " + name + " is busy: " + entry->job->name +
                                   " is under way; try again when it has ended");
  }
  return entry;
}

Service::EntryPointer Service::find_writable(const std::string& name) const {
  EntryPointer entry = find_idle(name);
  if (std::string_view(entry->state) != "open") {
    throw RequestError("not-writable", "device " + name + " is " + entry->state +
                                           ": its writable layer does not change any more");
  }
  return entry;
}

std::string Service::unused_name() {
  while (true) {
    std::string name = "device-" + std::to_string(next_number_++);
    if (!devices_.contains(name)) return name;
  }
}

void Service::run(OpenRequest request, Reply reply) {
  if (devices_.size() >= kDevicesMax) {
    throw RequestError("too-many-devices", std::to_string(devices_.size()) +
                                               " devices are open, which is the most: close some");
  }
  if (request.device.empty()) request.device = unused_name();
  if (const auto found = devices_.find(request.device); found != devices_.end()) {
    throw RequestError("already-exists", "there is a device " + request.device + " already (" +
                                             found->second->state + ", of " +
                                             found->second->config +
                                             "): close it, or choose another name");
  }
  const auto entry = std::make_shared<Entry>();
  entry->config = request.config;
  entry->parts.name = request.device;
  entry->parts.result_files = result_files_;
  entry->parts.reports = std::make_shared<DeviceReports>(
      request.device, entry->parts.metrics, around_.log,
      // Called by threads that may outlive this; what they post only runs while it lives.
      [this, &context = context_](Json event) {
        asio::post(context, [this, event] { publish_(event); });
      });
  const auto job = std::make_shared<Job>(context_, "open", std::move(reply));
  const std::chrono::milliseconds deadline = request.deadline;
  start_job(entry, job,
            [this, job, parts = entry->parts,
             request = std::move(request)]() -> std::function<void()> {
              auto device = Device::open(request, around_, parts, job->cancellation);
              return [this, job, device = std::move(device)] {
                job->entry->device = device;
                opened(job->entry, *job);
              };
            });
  devices_.emplace(entry->parts.name, entry);
  await(job, deadline);
}

void Service::opened(const EntryPointer& entry, Job& job) {
  const Device& device = *entry->device;
  entry->state = "open";
  entry->opened_at = utc_now();
  Json fields = {{"path", device.path()}, {"config", entry->config}};
  fields.update(description_of(device));
  if (!device.has_direct_io()) {
    around_.log.warn("the device works without direct I/O, which is many times slower",
                     {{"device", entry->parts.name}, {"path", device.path()}});
  }
  tell("opened", entry, fields);
  Json document = {{"device", entry->parts.name}};
  document.update(fields);
  job.answer(ok_reply(std::move(document)));
}

void Service::run(const CloseRequest& request, Reply reply) {
  if (const EntryPointer busy = find(request.device);
      busy->job != nullptr && busy->job->gives_way_to(request.mode)) {
    close_next(busy, request, std::move(reply));
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
        const DeviceError error("failed", "device " + of->parts.name +
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

void Service::run(CommitRequest request, Reply reply) {
  const EntryPointer entry = find_writable(request.device);
  const auto job = std::make_shared<Job>(context_, "commit", std::move(reply));
  const auto device = entry->device;
  const std::chrono::milliseconds deadline = request.deadline;
  start_job(entry, job,
            [this, job, device, request = std::move(request)]() -> std::function<void()> {
              const CommitSummary summary = device->commit(request, job->cancellation);
              return [this, job, summary, output = request.output] {
                Json fields = {{"output", output},
                               {"sizeBytes", summary.file_bytes},
                               {"layerSizeBytes", summary.layer_bytes}};
                tell("committed", job->entry, fields);
                Json document = {{"device", job->entry->parts.name}};
                document.update(fields);
                job->answer(ok_reply(std::move(document)));
              };
            });
  await(job, deadline);
}

void Service::run(const SealRequest& request, Reply reply) {
  const EntryPointer entry = find_writable(request.device);
  const auto job = std::make_shared<Job>(context_, "seal", std::move(reply));
  const auto device = entry->device;
  start_job(entry, job, [this, job, device]() -> std::function<void()> {
    device->seal();
    return [this, job] {
      job->entry->state = "sealed";
      tell("sealed", job->entry);
      job->answer(ok_reply({{"device", job->entry->parts.name}}));
    };
  });
  await(job, request.deadline);
}

void Service::run(const ResizeRequest& request, Reply reply) {
  const EntryPointer entry = find_writable(request.device);
  const auto job = std::make_shared<Job>(context_, "resize", std::move(reply));
  const auto device = entry->device;
  start_job(entry, job,
            [this, job, device, size = request.size_bytes]() -> std::function<void()> {
              device->resize(size);
              return [this, job, size] {
                tell("resized", job->entry, {{"sizeBytes", size}});
                job->answer(ok_reply({{"device", job->entry->parts.name}, {"sizeBytes", size}}));
              };
            });
  await(job, request.deadline);
}

void Service::run(const ListRequest&, const Reply& reply) const {
  Json list = Json::array();
  for (const auto& [name, entry] : devices_) {
    Json one = {{"device", name}, {"state", entry->state}, {"work", nullptr},
                {"config", entry->config}, {"path", nullptr}};
    if (entry->job != nullptr) one["work"] = entry->job->name;
    if (entry->device != nullptr) {
      const Device& device = *entry->device;
      one["path"] = device.path();
      one.update(description_of(device));
      one["openedAt"] = entry->opened_at;
      one["damageCount"] = entry->parts.metrics->damage();
    }
    list.push_back(std::move(one));
  }
  reply(ok_reply({{"devices", std::move(list)}}));
}

void Service::run(const StatsRequest& request, const Reply& reply) const {
  Json list = Json::array();
  const auto add = [&list](const Entry& entry) {
    Json one = {{"device", entry.parts.name}};
    one.update(metrics_document(*entry.parts.metrics));
    list.push_back(std::move(one));
  };
  if (!request.device.empty()) {
    add(*find(request.device));
  } else {
    for (const auto& [name, entry] : devices_) add(*entry);
  }
  const auto uptime = std::chrono::steady_clock::now() - started_at_;
  const auto uptime_ms = std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count();
  reply(ok_reply({{"daemon",
             {{"process", ::getpid()},
              {"uptimeMs", uptime_ms},
              {"transport", around_.transport.name()},
              {"deviceCount", devices_.size()},
              {"requestCount", running_}}},
            {"devices", std::move(list)}}));
}

void Service::run(const MetricsRequest&, const Reply& reply) const {
  std::vector<NamedMetrics> devices;
  for (const auto& [name, entry] : devices_) {
    if (entry->device != nullptr) devices.push_back({name, entry->parts.metrics});
  }
  reply(ok_reply({{"contentType", kMetricsContentType}, {"text", prometheus_text(devices)}}));
}

void Service::run(const EventsRequest&, const Reply& reply) const {
  reply(error_reply("failed", "events belong to a connection"));
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
  if (entry->device == nullptr) return;
  auto device = std::exchange(entry->device, nullptr);
  try {
    jobs_.start([device]() mutable { device.reset(); });
  } catch (const std::system_error&) {
    // Then here.
  }
}

void Service::tell(const char* event, const EntryPointer& entry, Json fields) {
  Json all = {{"device", entry->parts.name}};
  all.update(fields);
  if (std::string_view(event) != "error") {
    around_.log.info("device " + entry->parts.name + " is " + event, all);
  }
  Json document = {{"event", event}, {"time", utc_now()}};
  document.update(all);
  publish_(document);
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
    if (!error && stage_ == Stage::kEnding) close_all();
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
    close_all();
  } else if (stage_ == Stage::kClosing) {
    stage_ = Stage::kEnded;
    stop_deadline_.cancel();
    stopped_();
  }
}

void Service::close_all() {
  stage_ = Stage::kClosing;
  stop_timer_.cancel();
  const auto devices = devices_;
  for (const auto& [name, entry] : devices) abandon(entry);
  if (running_ == 0) check_stop();
}

// Whoever still uses a device gets errors from now on, since nobody is left who could serve it; so
// what can be made durable is, and the users are named. One on which a job works comes after that.
void Service::abandon(const EntryPointer& entry) {
  if (entry->job != nullptr || entry->device == nullptr || entry->is_abandoned) return;
  entry->is_abandoned = true;
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
        if (!closed.is_gone) {
          fields["users"] = users_document(closed.users);
          around_.log.error("the daemon ends while the device is in use: its users get errors",
                            {{"device", of->parts.name}, {"users", fields["users"]}});
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
