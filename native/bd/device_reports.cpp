#include "bd/device_reports.h"

#include <algorithm>
#include <exception>

#include "helper/failure.h"

namespace varve::bd {

bool RateBound::allows(Clock::time_point now, std::uint64_t& left_out) noexcept {
  const std::lock_guard lock(mutex_);
  if (left_ == at_once_) refilled_at_ = now;
  const auto intervals = (now - refilled_at_) / interval_;
  if (intervals > 0) {
    const auto room = static_cast<std::int64_t>(at_once_ - left_);
    left_ += static_cast<unsigned>(std::min<std::int64_t>(intervals, room));
    refilled_at_ += intervals * interval_;
  }
  if (left_ == 0) {
    ++left_out_;
    return false;
  }
  --left_;
  left_out = left_out_;
  left_out_ = 0;
  return true;
}

void DeviceReports::damaged(const io::Damage& damage) noexcept {
  metrics_->count_damage();
  try {
    Json fields = {{"layer", damage.file}, {"offset", damage.offset}, {"reason", damage.text}};
    if (damage.sums) {
      fields["expectedSum"] = damage.sums->expected;
      fields["actualSum"] = damage.sums->actual;
    }
    report(damage_bound_, "damage", "a layer is damaged", fields);
  } catch (const std::exception&) {
    // It is counted, and the request fails.
  }
}

void DeviceReports::request_failed(Counted kind, const io::ByteRange& range, int error) noexcept {
  try {
    report(failure_bound_, "error", "a request of a device failed",
           {{"operation", name_of(kind)},
            {"offset", range.offset},
            {"lengthBytes", range.length},
            {"code", error_name(-error)}});
  } catch (const std::exception&) {
    // As above.
  }
}

void DeviceReports::report(RateBound& bound, const char* kind, const char* message,
                           const Json& fields) {
  std::uint64_t left_out = 0;
  if (!bound.allows(RateBound::Clock::now(), left_out)) return;
  Json all = {{"device", device_}};
  all.update(fields);
  if (left_out > 0) all["leftOut"] = left_out;
  log_.error(message, all);
  Json event = {{"event", kind}, {"time", utc_now()}};
  event.update(all);
  tell_(std::move(event));
}

}  // namespace varve::bd
