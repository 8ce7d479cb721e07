#include <chrono>
#include <random>
#include <thread>

#include "cli/phone/tvs_phone.h"
#include "common/net/tls_client.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "tests/benchmarks/measurements.h"
#include "tvs/message.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kChanges = 200;
constexpr int kChangesWithoutNotification = 60;
constexpr double kWantedMilliseconds = 1'000;
constexpr std::chrono::seconds kPatience{10};

// Removes the entry of a certificate, or puts it back. Both are changes of something known, about which a node asks the
// database nothing: only the feed can tell it. Returns the moment before the commit was sent.
absl::StatusOr<SteadyClock::time_point> Change(Connection& connection, const Sha256Digest& sha256, bool remove) {
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection));
  ASSIGN_OR_RETURN(const Result cluster,
                   connection.Execute("UPDATE cluster SET trust_commit = trust_commit + 1 WHERE name = 'default'"
                                      " RETURNING trust_commit"));
  ASSIGN_OR_RETURN(const int64_t commit, cluster.Value<int64_t>());
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE trust_entry SET removed_at = CASE WHEN $2 THEN now() END, commit_number = $3"
                               " WHERE sha256 = $1",
                               Parameters().Bytes(sha256).Bool(remove).Int64(commit))
                      .status());
  const SteadyClock::time_point committing = SteadyClock::now();
  RETURN_IF_ERROR(transaction.Commit());
  return committing;
}

absl::StatusOr<bool> IsValid(TlsClient& phone, const std::string& request) {
  ASSIGN_OR_RETURN(const std::string message, ExchangeTvsMessage(phone, request, false));
  ASSIGN_OR_RETURN(const TvsResponse response,
                   DecodeTvsResponse(TvsCommand::kVerifyResponse, AsBytes(message).subspan(kTvsHeaderSize)));
  return response.valid;
}

// Milliseconds from each commit to the first answer of the node that knows it.
absl::StatusOr<std::vector<double>> Delays(const BenchmarkSite& site, const TvsdProcess& node, int changes) {
  ASSIGN_OR_RETURN(Connection connection, site.database->Connect("trustline_itld"));
  ASSIGN_OR_RETURN(TlsClient phone, TlsClient::Connect("127.0.0.1", node.tvs_port()));
  std::mt19937 random(2);
  std::vector<double> delays;
  for (int change = 0; change < changes; ++change) {
    const CertificateFacts facts = site.series.Facts(static_cast<uint32_t>(change / 2));
    const std::string request = site.VerifyRequest(facts.der);
    const bool remove = change % 2 == 0;
    // Anywhere between two polls of the node.
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    ASSIGN_OR_RETURN(const SteadyClock::time_point committing, Change(connection, facts.sha256, remove));
    while (true) {
      ASSIGN_OR_RETURN(const bool valid, IsValid(phone, request));
      const SteadyClock::duration delay = SteadyClock::now() - committing;
      if (valid != remove) {
        delays.push_back(std::chrono::duration<double, std::milli>(delay).count());
        break;
      }
      if (delay > kPatience) return Internal("a change was not answered within {} s", kPatience.count());
    }
  }
  return delays;
}

void AddLine(Report& report, std::string measure, const std::vector<double>& delays) {
  const double p99 = Percentile(delays, 0.99);
  report.Add({.measure = fmt::format("{}: p50 / p99 of {}", measure, delays.size()),
              .figure = fmt::format("{:.1f} / {:.1f} ms", Percentile(delays, 0.5), p99),
              .wanted = "<= 1 s",
              .met = p99 <= kWantedMilliseconds});
}

}  // namespace

absl::Status MeasureChanges(const BenchmarkSite& site, Report& report) {
  ASSIGN_OR_RETURN(const auto first, site.StartNode({.node = "node1"}));
  ASSIGN_OR_RETURN(const auto second, site.StartNode({.node = "node2"}));
  ASSIGN_OR_RETURN(const std::vector<double> notified, Delays(site, *second, kChanges));
  AddLine(report, "a change answered by a second node", notified);

  // A replica has no notifications: the nodes poll.
  ASSIGN_OR_RETURN(Connection connection, site.database->Connect());
  RETURN_IF_ERROR(connection.ExecuteScript("ALTER TABLE cluster DISABLE TRIGGER cluster_trust_change"));
  const absl::StatusOr<std::vector<double>> polled = Delays(site, *second, kChangesWithoutNotification);
  RETURN_IF_ERROR(connection.ExecuteScript("ALTER TABLE cluster ENABLE TRIGGER cluster_trust_change"));
  RETURN_IF_ERROR(polled.status());
  AddLine(report, "the same without notifications", *polled);
  return absl::OkStatus();
}

}  // namespace trustline
