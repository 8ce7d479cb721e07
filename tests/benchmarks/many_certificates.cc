#include <chrono>

#include "cli/phone/tvs_phone.h"
#include "common/status/status.h"
#include "tests/benchmarks/measurements.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kStarts = 3;
constexpr double kWantedSeconds = 3;
constexpr double kWantedMegabytes = 200;

}  // namespace

absl::Status MeasureStart(const BenchmarkSite& site, Report& report) {
  std::vector<double> seconds;
  std::vector<double> megabytes;
  for (int start = 0; start < kStarts; ++start) {
    const SteadyClock::time_point begin = SteadyClock::now();
    ASSIGN_OR_RETURN(const auto node, site.StartNode({}));
    seconds.push_back(std::chrono::duration<double>(SteadyClock::now() - begin).count());
    TvsPhone phone({"127.0.0.1", node->tvs_port()}, {});
    ASSIGN_OR_RETURN(const TvsAnswer answer, phone.Verify(AsBytes(site.series.Der(kCertificates - 1))));
    if (!answer.valid) return Internal("a trusted certificate was called invalid");
    ASSIGN_OR_RETURN(const int64_t bytes, node->ResidentBytes());
    megabytes.push_back(static_cast<double>(bytes) / 1e6);
    RETURN_IF_ERROR(node->Stop());
  }
  report.Add({.measure = "100,000 certificates: start until ready",
              .figure = fmt::format("{:.2f} s", Median(seconds)),
              .wanted = "<= 3 s",
              .met = Median(seconds) <= kWantedSeconds});
  report.Add({.measure = "100,000 certificates: memory of the node",
              .figure = fmt::format("{:.0f} MB", Median(megabytes)),
              .wanted = "<= 200 MB",
              .met = Median(megabytes) <= kWantedMegabytes});
  return absl::OkStatus();
}

}  // namespace trustline
