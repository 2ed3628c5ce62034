// Counting of requests, the forms in which counts are shown, and how much is told of damage.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "bd/device_reports.h"
#include "bd/log.h"
#include "bd/metrics.h"
#include "bd/prometheus.h"

namespace varve::test {

using bd::Counted;
using bd::DeviceMetrics;
using bd::Json;
using bd::RateBound;
using namespace std::chrono_literals;

TEST(MetricsTest, ABucketHoldsWhatItsBoundSays) {
  EXPECT_EQ(bd::latency_bucket(0), 0U);
  EXPECT_EQ(bd::latency_bucket(1000), 0U);
  EXPECT_EQ(bd::latency_bucket(1001), 1U);
  for (std::size_t bucket = 1; bucket < bd::kLatencyBounds; ++bucket) {
    const std::uint64_t bound_ns = bd::latency_bound_us(bucket) * 1000;
    EXPECT_EQ(bd::latency_bucket(bound_ns), bucket);
    EXPECT_EQ(bd::latency_bucket(bound_ns + 1), bucket + 1);
  }
  EXPECT_EQ(bd::latency_bucket(UINT64_MAX), bd::kLatencyBounds);
}

TEST(MetricsTest, CountsOfAllThreadsAddUp) {
  DeviceMetrics metrics;
  constexpr std::uint64_t kThreads = 12;
  constexpr std::uint64_t kRequests = 10000;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&metrics] {
      for (std::uint64_t at = 0; at < kRequests; ++at) {
        metrics.count(Counted::kRead, 4096, 1500, at % 10 == 0);
        metrics.count_damage();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const bd::Counts counts = metrics.read(Counted::kRead);
  EXPECT_EQ(counts.requests(), kThreads * kRequests);
  EXPECT_EQ(counts.latency[1], kThreads * kRequests);
  EXPECT_EQ(counts.errors, kThreads * kRequests / 10);
  EXPECT_EQ(counts.bytes, kThreads * kRequests / 10 * 9 * 4096);
  EXPECT_EQ(counts.duration_ns, kThreads * kRequests * 1500);
  EXPECT_EQ(metrics.damage(), kThreads * kRequests);
  EXPECT_EQ(metrics.read(Counted::kWrite).requests(), 0U);
}

TEST(MetricsTest, PrometheusGetsCumulativeBuckets) {
  const auto metrics = std::make_shared<DeviceMetrics>();
  metrics->count(Counted::kRead, 512, 900, false);          // up to 1 us
  metrics->count(Counted::kRead, 512, 3'000'000, false);    // up to 4.096 ms
  metrics->count(Counted::kRead, 512, 60'000'000'000, true);  // longer than all
  const std::string text = bd::prometheus_text({{"a\"b", "fuse", metrics}});
  const auto has = [&text](const std::string& line) {
    return text.find("\n" + line + "\n") != std::string::npos;
  };
  const std::string labels = R"({device="a\"b",operation="read")";
  const std::string name = "varve_bd_request_duration_seconds";
  EXPECT_TRUE(has("varve_bd_devices 1"));
  EXPECT_TRUE(has("varve_bd_bytes_total" + labels + "} 1024"));
  EXPECT_TRUE(has("varve_bd_errors_total" + labels + "} 1"));
  EXPECT_TRUE(has(name + "_bucket" + labels + ",le=\"1e-06\"} 1"));
  EXPECT_TRUE(has(name + "_bucket" + labels + ",le=\"0.001024\"} 1"));
  EXPECT_TRUE(has(name + "_bucket" + labels + ",le=\"0.004096\"} 2"));
  EXPECT_TRUE(has(name + "_bucket" + labels + ",le=\"16.777216\"} 2"));
  EXPECT_TRUE(has(name + "_bucket" + labels + ",le=\"+Inf\"} 3"));
  EXPECT_TRUE(has(name + "_count" + labels + "} 3"));
  EXPECT_TRUE(has("# TYPE " + name + " histogram"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(MetricsTest, TheDocumentHoldsWhatWasCounted) {
  DeviceMetrics metrics;
  metrics.count(Counted::kFlush, 0, 20'000'000'000, false);
  const Json document = bd::metrics_document(metrics);
  EXPECT_EQ(document["operations"]["flush"]["requestCount"], 1);
  EXPECT_EQ(document["operations"]["flush"]["latency"],
            Json::parse(R"([{"upToUs":null,"requestCount":1}])"));
  EXPECT_EQ(document["operations"]["read"]["latency"], Json::array());
  EXPECT_EQ(document["damageCount"], 0);
}

TEST(MetricsTest, ABoundAllowsSomeAtOnceThenOneForEachInterval) {
  RateBound bound(3, 1s);
  const RateBound::Clock::time_point begin = RateBound::Clock::time_point() + 1h;
  std::uint64_t left_out = 99;
  for (int count = 0; count < 3; ++count) EXPECT_TRUE(bound.allows(begin, left_out));
  EXPECT_EQ(left_out, 0U);
  EXPECT_FALSE(bound.allows(begin, left_out));
  EXPECT_FALSE(bound.allows(begin + 999ms, left_out));
  EXPECT_TRUE(bound.allows(begin + 1s, left_out));
  EXPECT_EQ(left_out, 2U);
  EXPECT_FALSE(bound.allows(begin + 1s, left_out));
  for (int count = 0; count < 3; ++count) EXPECT_TRUE(bound.allows(begin + 1h, left_out));
  EXPECT_FALSE(bound.allows(begin + 1h, left_out)) << "no more than at the beginning";
}

TEST(MetricsTest, ARottenLayerFloodsNeitherLogNorEvents) {
  const auto metrics = std::make_shared<DeviceMetrics>();
  bd::Log log(bd::LogLevel::kFatal);
  std::vector<Json> events;
  bd::DeviceReports reports("a", metrics, log, [&](Json event) { events.push_back(event); });
  constexpr unsigned kTimes = 1000;
  for (unsigned time = 0; time < kTimes; ++time) {
    reports.damaged({"/layer", 4096, "rotten", io::Checksums{1, 2}});
  }
  EXPECT_EQ(metrics->damage(), kTimes);
  EXPECT_GE(events.size(), bd::kReportsAtOnceMax);
  EXPECT_LT(events.size(), kTimes / 2);
  const Json& first = events.front();
  EXPECT_EQ(first["event"], "damage");
  EXPECT_EQ(first["device"], "a");
  EXPECT_EQ(first["layer"], "/layer");
  EXPECT_EQ(first["offset"], 4096);
  EXPECT_EQ(first["reason"], "rotten");
  EXPECT_EQ(first["expectedSum"], 1);
  EXPECT_EQ(first["actualSum"], 2);
  reports.request_failed(Counted::kRead, {512, 4096}, -5);
  EXPECT_EQ(events.back()["event"], "error") << "of a bound of its own";
  EXPECT_EQ(events.back()["code"], "EIO");
}

}  // namespace varve::test
