// Prints how fast and how large TVS is, each figure beside what it is compared with and what is wanted
// (docs/OPERATIONS.md, "Speed and size"). Not a test: a figure that is missed is said so in the table, and only what
// did not work, such as a wrong answer, makes the exit status 1.
#include <array>
#include <cstdio>
#include <cstring>

#include "common/rpc/credentials.h"
#include "common/service/daemon.h"
#include "common/status/status.h"
#include "tests/benchmarks/measurements.h"
#include "tests/benchmarks/other_load.h"

namespace trustline {
namespace {

struct Measurement {
  std::string_view name;
  absl::Status (*run)(const BenchmarkSite& site, Report& report);
};

constexpr std::array<Measurement, 7> kMeasurements = {{{"handshakes", MeasureHandshakes},
                                                       {"grpc", MeasureGrpc},
                                                       {"look-up", MeasureLookUp},
                                                       {"silent", MeasureSilentConnections},
                                                       {"start", MeasureStart},
                                                       {"changes", MeasureChanges},
                                                       {"database-kill", MeasureDatabaseKill}}};

// Above this share of other programs a measurement is called disturbed, whatever its figures are.
constexpr double kQuiet = 0.05;

int Usage() {
  fmt::print(stderr, "usage: tvs_benchmark [--only NAME]...\nNAME:");
  for (const Measurement& measurement : kMeasurements) fmt::print(stderr, " {}", measurement.name);
  fmt::print(stderr, "\n");
  return 2;
}

int Main(int argc, char** argv) {
  std::vector<Measurement> chosen;
  for (int i = 1; i < argc; i += 2) {
    const auto found = std::ranges::find_if(
        kMeasurements, [&](const Measurement& m) { return i + 1 < argc && m.name == argv[i + 1]; });
    if (std::string_view(argv[i]) != "--only" || found == kMeasurements.end()) return Usage();
    chosen.push_back(*found);
  }
  if (chosen.empty()) chosen.assign(kMeasurements.begin(), kMeasurements.end());

  // 10,000 clients need as many descriptors.
  const absl::StatusOr<uint64_t> files = RaiseFileLimit();
  if (!files.ok()) fmt::print(stderr, "{}\n", files.status().ToString());
  const absl::Status tls = RequireTls13();
  const auto site = BenchmarkSite::Create();
  if (!tls.ok() || !site.ok()) {
    fmt::print(stderr, "{}\n", (tls.ok() ? site.status() : tls).ToString());
    return 1;
  }
  Report report;
  size_t failed = 0;
  size_t disturbed = 0;
  for (const Measurement& measurement : chosen) {
    const OtherLoad others;
    const absl::Status status = measurement.run(**site, report);
    const double share = others.Share();
    disturbed += share > kQuiet ? 1 : 0;
    fmt::print("  {}: other programs took {:.0f}% of the machine{}\n", measurement.name, 100 * share,
               share > kQuiet ? "; DISTURBED, its times and ratios say little" : "");
    if (status.ok()) continue;
    fmt::print("{}: did not work: {}\n", measurement.name, status.ToString());
    ++failed;
  }
  fmt::print("{} figures missed, {} measurements did not work, {} were disturbed\n", report.missed(), failed,
             disturbed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) { return trustline::Main(argc, argv); }
