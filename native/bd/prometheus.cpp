#include "bd/prometheus.h"

#include <array>
#include <cstdio>

namespace varve::bd {

namespace {

constexpr std::array kKinds = {Counted::kRead, Counted::kWrite, Counted::kDiscard,
                               Counted::kWriteZeroes, Counted::kFlush};

// Every second bound, up to the largest: a quarter of the lines at the resolution that dashboards
// can use.
constexpr std::size_t kBoundStep = 2;

std::string label_value(const std::string& text) {
  std::string escaped;
  for (const char one : text) {
    if (one == '\\' || one == '"') escaped += '\\';
    if (one == '\n') {
      escaped += "\\n";
    } else {
      escaped += one;
    }
  }
  return escaped;
}

std::string seconds(double value) {
  std::array<char, 40> text = {};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

void begin(std::string& text, const std::string& name, const char* type, const char* help) {
  text += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

std::string labels(const std::string& device, Counted kind) {
  return "{device=\"" + label_value(device) + "\",operation=\"" + name_of(kind) + "\"";
}

// One line for each device and kind of request.
template <typename Value>
void add_counter(std::string& text, const std::vector<NamedMetrics>& devices,
                 const std::string& name, const char* help, Value value) {
  begin(text, name, "counter", help);
  for (const NamedMetrics& device : devices) {
    for (const Counted kind : kKinds) {
      text += name + labels(device.device, kind) + "} " +
              std::to_string(value(device.metrics->read(kind))) + "\n";
    }
  }
}

void add_histogram(std::string& text, const std::string& name, const std::string& own_labels,
                   const Counts& counts) {
  std::uint64_t below = 0;
  for (std::size_t bucket = 0; bucket < kLatencyBounds; ++bucket) {
    below += counts.latency[bucket];
    if (bucket % kBoundStep != 0) continue;
    text += name + "_bucket" + own_labels + ",le=\"" +
            seconds(static_cast<double>(latency_bound_us(bucket)) / 1e6) + "\"} " +
            std::to_string(below) + "\n";
  }
  const std::string all = std::to_string(counts.requests());
  text += name + "_bucket" + own_labels + ",le=\"+Inf\"} " + all + "\n";
  text += name + "_sum" + own_labels + "} " +
          seconds(static_cast<double>(counts.duration_ns) / 1e9) + "\n";
  text += name + "_count" + own_labels + "} " + all + "\n";
}

}  // namespace

std::string prometheus_text(const std::vector<NamedMetrics>& devices) {
  std::string text;
  begin(text, "varve_bd_devices", "gauge", "Devices that are open.");
  text += "varve_bd_devices " + std::to_string(devices.size()) + "\n";
  begin(text, "varve_bd_device_info", "gauge", "How a device reaches the kernel.");
  for (const NamedMetrics& device : devices) {
    text += "varve_bd_device_info{device=\"" + label_value(device.device) + "\",transport=\"" +
            label_value(device.transport) + "\"} 1\n";
  }
  add_counter(text, devices, "varve_bd_bytes_total", "Bytes of requests that succeeded.",
              [](const Counts& counts) { return counts.bytes; });
  add_counter(text, devices, "varve_bd_errors_total", "Requests that failed.",
              [](const Counts& counts) { return counts.errors; });
  begin(text, "varve_bd_damage_total", "counter", "Damage met in layers, each time that it was.");
  for (const NamedMetrics& device : devices) {
    text += "varve_bd_damage_total{device=\"" + label_value(device.device) + "\"} " +
            std::to_string(device.metrics->damage()) + "\n";
  }
  const std::string name = "varve_bd_request_duration_seconds";
  begin(text, name, "histogram", "How long requests took, failed ones too.");
  for (const NamedMetrics& device : devices) {
    for (const Counted kind : kKinds) {
      add_histogram(text, name, labels(device.device, kind), device.metrics->read(kind));
    }
  }
  return text;
}

Json metrics_document(const DeviceMetrics& metrics) {
  Json operations = Json::object();
  for (const Counted kind : kKinds) {
    const Counts counts = metrics.read(kind);
    Json latency = Json::array();
    for (std::size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
      if (counts.latency[bucket] == 0) continue;
      Json one = {{"upToUs", nullptr}, {"requestCount", counts.latency[bucket]}};
      if (bucket < kLatencyBounds) one["upToUs"] = latency_bound_us(bucket);
      latency.push_back(std::move(one));
    }
    operations[name_of(kind)] = {{"requestCount", counts.requests()},
                                 {"errorCount", counts.errors},
                                 {"sizeBytes", counts.bytes},
                                 {"durationNs", counts.duration_ns},
                                 {"latency", std::move(latency)}};
  }
  return {{"damageCount", metrics.damage()}, {"operations", std::move(operations)}};
}

}  // namespace varve::bd
