#include <algorithm>
#include <atomic>
#include <thread>

#include "common/status/status.h"
#include "tests/benchmarks/load_clients.h"
#include "tests/benchmarks/measurements.h"
#include "tests/benchmarks/silent_peers.h"

namespace trustline {
namespace {

constexpr size_t kSilent = 10'000;
constexpr std::chrono::seconds kDuration{12};
constexpr double kWantedSlowdown = 2;
constexpr double kWantedMegabytes = 200;

absl::StatusOr<LoadResult> AskHonestly(const Load& load) {
  LoadResult result = RunLoad(load);
  if (result.failures > 0) return Internal("{} honest questions were not answered", result.failures);
  return result;
}

// The node's greatest resident memory while `work` runs, in bytes.
template <typename Work>
int64_t GreatestMemoryDuring(const TvsdProcess& node, const Work& work) {
  std::atomic<bool> done{false};
  int64_t greatest = 0;
  std::thread watcher([&] {
    while (!done) {
      greatest = std::max(greatest, node.ResidentBytes().value_or(0));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  work();
  done = true;
  watcher.join();
  return greatest;
}

}  // namespace

absl::Status MeasureSilentConnections(const BenchmarkSite& site, Report& report) {
  ASSIGN_OR_RETURN(const auto node, site.StartNode({.workers = 1, .core = kServerCore}));
  const PinnedTo pinned(kClientCore);
  Load load;
  load.port = node->tvs_port();
  load.request = site.VerifyRequest(site.series.Der(1));
  load.answer = site.ValidAnswer();
  load.clients = 8;
  load.interval = std::chrono::milliseconds(40);

  // 1. Alone. What OpenSSL and the allocator keep after the first clients is not the silent ones' doing.
  load.duration = std::chrono::seconds(1);
  RETURN_IF_ERROR(AskHonestly(load).status());
  load.duration = kDuration;
  ASSIGN_OR_RETURN(const LoadResult alone, AskHonestly(load));
  ASSIGN_OR_RETURN(const int64_t memory_before, node->ResidentBytes());

  // 2. Beside 10,000 that are silent, through two of their handshake deadlines.
  absl::Status accepted;
  absl::StatusOr<LoadResult> beside;
  uint64_t opened = 0;
  uint64_t failed = 0;
  const int64_t memory = GreatestMemoryDuring(*node, [&] {
    const SilentConnections silent(node->tvs_port(), kSilent);
    silent.WaitUntilOpened();
    accepted = WaitUntilAccepted(*node, kSilent);
    if (!accepted.ok()) return;
    beside = AskHonestly(load);
    opened = silent.opened();
    failed = silent.failed();
  });
  RETURN_IF_ERROR(accepted);
  RETURN_IF_ERROR(beside.status());
  if (failed > 0 || opened < kSilent * 2) {
    return Internal("{} silent connections were opened and {} failed: the load was not what it should be", opened,
                    failed);
  }

  // 3. Alone again: the better of both is the floor, so that a disturbance of one does not flatter the figure.
  ASSIGN_OR_RETURN(const LoadResult again, AskHonestly(load));
  const double p99_before = std::min(Percentile(alone.latencies, 0.99), Percentile(again.latencies, 0.99));
  const double p50_before = std::min(Percentile(alone.latencies, 0.5), Percentile(again.latencies, 0.5));
  const double p99 = Percentile(beside->latencies, 0.99);
  const double megabytes = static_cast<double>(memory - memory_before) / 1e6;
  report.Add({.measure = "p99 of honest clients beside 10,000 silent ones",
              .figure = fmt::format("{:.2f} ms", p99),
              .floor = fmt::format("{:.2f} ms", p99_before),
              .ratio = p99 / p99_before,
              .wanted = "<= 2.00",
              .met = p99 <= kWantedSlowdown * p99_before});
  report.Add({.measure = "p50 of honest clients beside 10,000 silent ones",
              .figure = fmt::format("{:.2f} ms", Percentile(beside->latencies, 0.5)),
              .floor = fmt::format("{:.2f} ms", p50_before)});
  report.Add({.measure = fmt::format("memory of 10,000 silent ones ({} opened)", opened),
              .figure = fmt::format("{:.1f} MB more", megabytes),
              .wanted = "<= 200 MB",
              .met = megabytes <= kWantedMegabytes});
  return absl::OkStatus();
}

}  // namespace trustline
