#include <chrono>
#include <random>

#include "common/status/status.h"
#include "tests/benchmarks/measurements.h"
#include "tvs/published.h"
#include "tvs/verdict.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kQuestions = 1'000'000;
constexpr int kRounds = 5;
constexpr double kWantedNanoseconds = 1'000;

// Nanoseconds for each question, the median of the rounds. `judge` returns whether the answer was right.
template <typename Judge>
absl::StatusOr<double> Nanoseconds(const std::vector<uint32_t>& questions, const Judge& judge) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    size_t wrong = 0;
    const SteadyClock::time_point begin = SteadyClock::now();
    for (const uint32_t question : questions) wrong += judge(question) ? 0 : 1;
    const std::chrono::duration<double, std::nano> taken = SteadyClock::now() - begin;
    if (wrong != 0) return Internal("{} of {} look-ups were wrong", wrong, questions.size());
    rounds.push_back(taken.count() / static_cast<double>(questions.size()));
  }
  return Median(rounds);
}

void AddLine(Report& report, std::string measure, double nanoseconds) {
  report.Add({.measure = std::move(measure),
              .figure = fmt::format("{:.0f} ns", nanoseconds),
              .wanted = "<= 1000 ns",
              .met = nanoseconds <= kWantedNanoseconds});
}

}  // namespace

absl::Status MeasureLookUp(const BenchmarkSite& site, Report& report) {
  // 1. A snapshot as a node publishes it, and as many digests again that it does not have.
  TrustSnapshotBuilder builder(nullptr);
  std::vector<Sha256Digest> known(kCertificates);
  std::vector<Sha256Digest> unknown(kCertificates);
  for (uint32_t number = 0; number < kCertificates; ++number) {
    const CertificateFacts facts = site.series.Facts(number);
    builder.AddCertificate(facts);
    RETURN_IF_ERROR(
        builder.SetEntry(facts.sha256, static_cast<int>(CertificateRole::kAppServer), 86'400, false, false));
    known[number] = facts.sha256;
    unknown[number] = Sha256(facts.sha256);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<const TrustSnapshot> built, std::move(builder).Build(1));
  const Published<TrustSnapshot> published(std::move(built));

  // 2. Questions in random order, so that the processor's caches do not have the records.
  std::vector<uint32_t> questions(kQuestions);
  std::mt19937 random(1);
  for (uint32_t& question : questions) question = static_cast<uint32_t>(random() % kCertificates);
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(const double hit, Nanoseconds(questions, [&](uint32_t question) {
                     const Published<TrustSnapshot>::View snapshot(published);
                     return JudgeCertificate(*snapshot, {}, known[question], now).ValidForPhones();
                   }));
  ASSIGN_OR_RETURN(const double miss, Nanoseconds(questions, [&](uint32_t question) {
                     const Published<TrustSnapshot>::View snapshot(published);
                     return snapshot->FindBySha256(unknown[question]) == nullptr;
                   }));
  AddLine(report, "look-up of 100,000, verdict on a random one", hit);
  AddLine(report, "look-up of 100,000, a random miss", miss);
  return absl::OkStatus();
}

}  // namespace trustline
