// The devices of the daemon, and the operations on them. All of its state belongs to the one thread
// that runs the io_context; what can block runs as a job, and its result comes back as a message.
//
// Invariants: a name belongs to one device from the request to open it until nothing of it is left,
// also when whoever asked has given up; at most one job works on a device; every request gets
// exactly one reply.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bd/device.h"
#include "bd/jobs.h"
#include "bd/json.h"
#include "bd/request.h"

namespace varve::bd {

class Service {
 public:
  // Takes `{"ok": …}` or `{"error": …}`.
  using Reply = std::function<void(Json)>;
  // Takes an event for all who listen.
  using Publish = std::function<void(const Json& event)>;

  // The surroundings outlive the jobs.
  Service(asio::io_context& context, const Surroundings& around, Publish publish);

  // All but `events`, which is the connection's own.
  void handle(Operation operation, Reply reply);

  using Survivors = std::vector<std::unique_ptr<transport::Survivor>>;
  // Serves the devices of a predecessor on. One whose image cannot be opened waits, and is tried
  // again and again.
  void take_over(Survivors survivors);
  // The same with those that `find` finds, which may take a while.
  void find_survivors(std::function<Survivors()> find);

  // Whether any device is left to a successor, as the daemon ends.
  [[nodiscard]] bool leaves_devices() const;
  // Gives up what is under way and leaves every device that outlives this process as it is, to a
  // successor, and lets go of the others; calls `done` when nothing is under way, or at the deadline.
  void hand_over(std::function<void()> done);
  // For a device that the kernel takes away: gives up what works on it and closes it; then calls
  // `done`, at once if there is no such device. One that takes longer goes when it can.
  void end(const std::string& name, std::function<void()> done);

  // Gives up what is under way, then lets go of every device; calls `done` when nothing is left, or
  // at the deadline. Requests are refused from now on.
  void stop(std::function<void()> done);
  // For the end: whether within `patience` no thread is left that could use the surroundings.
  bool is_idle(std::chrono::milliseconds patience) {
    return jobs_.wait_until_idle(std::chrono::steady_clock::now() + patience);
  }

 private:
  struct Entry;
  struct Job;
  using EntryPointer = std::shared_ptr<Entry>;

  void run(OpenRequest request, Reply reply);
  void run(const CloseRequest& request, Reply reply);
  void run(const ListRequest& request, const Reply& reply) const;
  void run(const StatsRequest& request, const Reply& reply) const;
  void run(const MetricsRequest& request, const Reply& reply) const;
  void run(CommitRequest request, Reply reply);
  void run(const SealRequest& request, Reply reply);
  void run(const ResizeRequest& request, Reply reply);
  void run(const EventsRequest& request, const Reply& reply) const;

  // Runs `work` in a thread and what it returns in ours.
  void start_job(EntryPointer entry, std::shared_ptr<Job> job,
                 std::function<std::function<void()>()> work);
  void await(const std::shared_ptr<Job>& job, std::chrono::milliseconds deadline);
  void fail(Job& job, const DeviceError& error);
  void end_job(const std::shared_ptr<Job>& job);

  [[nodiscard]] EntryPointer find(const std::string& name) const;
  // Throw RequestError unless nothing works on the device; for the latter it must be open, too.
  [[nodiscard]] EntryPointer find_idle(const std::string& name) const;
  [[nodiscard]] EntryPointer find_writable(const std::string& name) const;
  std::string unused_name();
  void opened(const EntryPointer& entry, Job& job);
  EntryPointer make_entry(const std::string& name, const std::string& config,
                          const std::string& transport);
  void take_over_next();
  void taken_over(const EntryPointer& entry, const std::shared_ptr<Device>& device);
  void not_taken_over(const EntryPointer& entry, const std::string& problem);
  void give_up(const EntryPointer& entry, Reply reply);
  void close_survivor(const EntryPointer& entry, const CloseRequest& request, const Reply& reply);
  void release(const std::shared_ptr<Job>& job, std::shared_ptr<Device> device);
  void forget(const EntryPointer& entry);
  void drop_elsewhere(std::shared_ptr<void> thing);
  void close_next(const EntryPointer& entry, const CloseRequest& request, Reply reply);
  void watch_lingering();
  void check_stop();
  void end_of_work();
  void ended();
  void close_all();
  void abandon(const EntryPointer& entry);
  [[nodiscard]] bool is_left_behind(const Entry& entry) const;
  [[nodiscard]] transport::Transport& transport_of(const OpenRequest& request) const;
  [[nodiscard]] Json daemon_document() const;
  void tell(const char* event, const EntryPointer& entry, Json fields = Json::object());

  asio::io_context& context_;
  Surroundings around_;
  Publish publish_;
  Jobs jobs_;
  std::shared_ptr<ResultFiles> result_files_ = std::make_shared<ResultFiles>();
  std::map<std::string, EntryPointer> devices_;
  std::size_t running_ = 0;
  std::uint64_t next_number_ = 1;
  std::chrono::steady_clock::time_point started_at_ = std::chrono::steady_clock::now();

  std::deque<EntryPointer> waiting_;  // devices of a predecessor that are to be served
  unsigned taking_over_ = 0;
  bool leaves_devices_ = false;

  asio::steady_timer linger_timer_;
  bool is_linger_watched_ = false;

  enum class Stage { kServing, kEnding, kClosing, kEnded };
  Stage stage_ = Stage::kServing;
  asio::steady_timer stop_timer_;
  asio::steady_timer stop_deadline_;
  std::function<void()> stopped_;
};

}  // namespace varve::bd
