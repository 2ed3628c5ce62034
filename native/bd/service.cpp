#include "bd/service.h"

#include <unistd.h>

#include <asio/post.hpp>
#include <system_error>
#include <utility>

#include "bd/prometheus.h"
#include "bd/replies.h"
#include "bd/service_job.h"

namespace varve::bd {

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
  Json document = error_reply(error.code(), error.what(), error.error());
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
  if (entry->survivor != nullptr) {
    throw RequestError("busy", "device " + name + " is not served again yet" +
                                   (entry->problem.empty() ? "" : ": " + entry->problem) +
                                   "; try again when it is");
  }
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

Service::EntryPointer Service::make_entry(const std::string& name, const std::string& config,
                                          const std::string& transport) {
  const auto entry = std::make_shared<Entry>();
  entry->transport = transport;
  entry->config = config;
  entry->parts.name = name;
  entry->parts.result_files = result_files_;
  entry->parts.reports = std::make_shared<DeviceReports>(
      name, entry->parts.metrics, around_.log,
      // Called by threads that may outlive this; what they post only runs while it lives.
      [this, &context = context_](Json event) {
        asio::post(context, [this, event] { publish_(event); });
      });
  return entry;
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
  transport::Transport& transport = transport_of(request);
  const EntryPointer entry = make_entry(request.device, request.config, transport.name());
  const auto job = std::make_shared<Job>(context_, "open", std::move(reply));
  const std::chrono::milliseconds deadline = request.deadline;
  start_job(entry, job,
            [this, job, parts = entry->parts, &transport,
             request = std::move(request)]() -> std::function<void()> {
              auto device =
                  Device::open(request, transport, around_, parts, job->cancellation);
              return [this, job, device = std::move(device)] {
                job->entry->device = device;
                opened(job->entry, *job);
              };
            });
  devices_.emplace(entry->parts.name, entry);
  await(job, deadline);
}

transport::Transport& Service::transport_of(const OpenRequest& request) const {
  if (request.transport != nullptr) return *request.transport;
  if (request.transport_name.empty()) return around_.best_transport();
  for (transport::Transport* one : around_.transports) {
    if (one->name() == request.transport_name) return *one;
  }
  throw RequestError("invalid-value", "there is no transport " + request.transport_name + " here");
}

void Service::opened(const EntryPointer& entry, Job& job) {
  const Device& device = *entry->device;
  entry->state = "open";
  entry->opened_at = utc_now();
  Json fields = {{"path", device.path()},
                 {"config", entry->config},
                 {"transport", entry->transport}};
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
                {"config", entry->config}, {"transport", entry->transport}, {"path", nullptr}};
    if (entry->job != nullptr) one["work"] = entry->job->name;
    if (entry->device != nullptr) {
      const Device& device = *entry->device;
      one["path"] = device.path();
      one.update(description_of(device));
      one["openedAt"] = entry->opened_at;
      one["damageCount"] = entry->parts.metrics->damage();
    }
    if (entry->survivor != nullptr) one["path"] = entry->survivor->path();
    if (!entry->problem.empty()) one["problem"] = entry->problem;
    list.push_back(std::move(one));
  }
  reply(ok_reply({{"devices", std::move(list)}}));
}

void Service::run(const StatsRequest& request, const Reply& reply) const {
  Json list = Json::array();
  const auto add = [&list](const Entry& entry) {
    Json one = {{"device", entry.parts.name}, {"transport", entry.transport}};
    one.update(metrics_document(*entry.parts.metrics));
    list.push_back(std::move(one));
  };
  if (!request.device.empty()) {
    add(*find(request.device));
  } else {
    for (const auto& [name, entry] : devices_) add(*entry);
  }
  reply(ok_reply({{"daemon", daemon_document()}, {"devices", std::move(list)}}));
}

Json Service::daemon_document() const {
  const auto uptime = std::chrono::steady_clock::now() - started_at_;
  const transport::Transport& best = around_.best_transport();
  Json transports = Json::array();
  Json outliving = Json::array();
  Json lacking = Json::object();
  for (const transport::Transport* one : around_.transports) {
    const std::vector<std::string> missing = one->lacking();
    if (missing.empty()) transports.push_back(one->name());
    if (missing.empty() && one->outlives_process()) outliving.push_back(one->name());
    if (!missing.empty()) lacking[one->name()] = missing;
  }
  if (around_.serves_target) {
    // Better than fuse, which is the last.
    const bool has_fuse = !transports.empty() && transports.back() == "fuse";
    transports.insert(has_fuse ? transports.end() - 1 : transports.end(), "tcmu");
    outliving.push_back("tcmu");
  }
  return {{"process", ::getpid()},
          {"version", VARVE_VERSION},
          {"uptimeMs", std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count()},
          {"transport", best.name()},
          {"transports", std::move(transports)},
          {"devicesOutlive", best.outlives_process()},
          {"outlivingTransports", std::move(outliving)},
          {"lacking", std::move(lacking)},
          {"deviceCount", devices_.size()},
          {"requestCount", running_}};
}

void Service::run(const MetricsRequest&, const Reply& reply) const {
  std::vector<NamedMetrics> devices;
  for (const auto& [name, entry] : devices_) {
    if (entry->device != nullptr) devices.push_back({name, entry->transport, entry->parts.metrics});
  }
  reply(ok_reply({{"contentType", kMetricsContentType}, {"text", prometheus_text(devices)}}));
}

void Service::run(const EventsRequest&, const Reply& reply) const {
  reply(error_reply("failed", "events belong to a connection"));
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

}  // namespace varve::bd
