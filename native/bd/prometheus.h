// The metrics of all devices in Prometheus' text format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bd/json.h"
#include "bd/metrics.h"

namespace varve::bd {

struct NamedMetrics {
  std::string device;
  std::string transport;
  std::shared_ptr<const DeviceMetrics> metrics;
};

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4";

std::string prometheus_text(const std::vector<NamedMetrics>& devices);

// The same of one device as the operation `stats` answers it.
Json metrics_document(const DeviceMetrics& metrics);

}  // namespace varve::bd
