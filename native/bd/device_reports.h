// What is told of a device while it serves: damage of its layers and requests that failed, in the
// log and as events. Everything is counted; told is only so much (limits.h), so that a rotten layer
// floods nothing, and what was left out is told as a number with the next report.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "bd/limits.h"
#include "bd/log.h"
#include "bd/metered_device.h"
#include "bd/metrics.h"

namespace varve::bd {

// So many at once, then one for each interval.
class RateBound {
 public:
  using Clock = std::chrono::steady_clock;

  RateBound(unsigned at_once, Clock::duration interval)
      : at_once_(at_once), interval_(interval), left_(at_once) {}

  // Whether this one may be told; if so, `left_out` is how many were not since the last that was.
  bool allows(Clock::time_point now, std::uint64_t& left_out) noexcept;

 private:
  const unsigned at_once_;
  const Clock::duration interval_;
  std::mutex mutex_;
  unsigned left_;
  Clock::time_point refilled_at_{};
  std::uint64_t left_out_ = 0;
};

class DeviceReports final : public io::DamageListener, public FailureListener {
 public:
  // Takes an event from any thread.
  using Tell = std::function<void(Json event)>;

  DeviceReports(std::string device, std::shared_ptr<DeviceMetrics> metrics, Log& log, Tell tell)
      : device_(std::move(device)),
        metrics_(std::move(metrics)),
        log_(log),
        tell_(std::move(tell)) {}

  void damaged(const io::Damage& damage) noexcept override;
  void request_failed(Counted kind, const io::ByteRange& range, int error) noexcept override;

 private:
  void report(RateBound& bound, const char* kind, const char* message, const Json& fields);

  const std::string device_;
  const std::shared_ptr<DeviceMetrics> metrics_;
  Log& log_;
  const Tell tell_;
  RateBound damage_bound_{kReportsAtOnceMax, kReportInterval};
  RateBound failure_bound_{kReportsAtOnceMax, kReportInterval};
};

}  // namespace varve::bd
