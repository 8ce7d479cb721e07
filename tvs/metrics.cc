#include "tvs/metrics.h"

#include "tvs/verdict.h"

namespace trustline {
namespace {

using Registrations = std::vector<Metrics::Registration>;

void AddAnswers(Registrations& registrations, Metrics& metrics, const std::string& name, const std::string& help,
                MetricLabels labels, const TvsStatistics::Answers& answers) {
  labels["verdict"] = "valid";
  labels["reason"] = "none";
  registrations.push_back(metrics.AddCounterCallback(
      name, help, labels, [&answers] { return static_cast<double>(answers.valid.load(std::memory_order_relaxed)); }));
  labels["verdict"] = "invalid";
  for (size_t i = 0; i < kInvalidReasons; ++i) {
    const InvalidReason reason = static_cast<InvalidReason>(i);
    labels["reason"] = reason == InvalidReason::kNone ? "without_role" : std::string(InvalidReasonName(reason));
    registrations.push_back(metrics.AddCounterCallback(name, help, labels, [&count = answers.invalid[i]] {
      return static_cast<double>(count.load(std::memory_order_relaxed));
    }));
  }
}

}  // namespace

Registrations RegisterListenerMetrics(Metrics& metrics, const std::string& cluster, const TlsServer& server,
                                      const TvsEndpoint& endpoint) {
  Registrations registrations;
  const MetricLabels labels = {{"cluster", cluster}, {"listener", server.options().name}};
  const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& value) {
    registrations.push_back(metrics.AddCounterCallback(
        name, help, labels, [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); }));
  };
  const ListenerStatistics& net = server.statistics();
  counter("trustline_tls_accepted_total", "Connections accepted.", net.accepted);
  counter("trustline_tls_refused_by_address_cap_total", "Connections closed: too many of one address.",
          net.refused_by_address_cap);
  counter("trustline_tls_refused_by_total_cap_total", "Connections closed: too many in all.", net.refused_by_total_cap);
  counter("trustline_tls_accept_pauses_total", "Times accepting rested for want of descriptors or memory.",
          net.accept_pauses);
  counter("trustline_tls_handshakes_full_total", "Full TLS handshakes.", net.handshakes_full);
  counter("trustline_tls_handshakes_resumed_total", "Resumed TLS handshakes.", net.handshakes_resumed);
  counter("trustline_tls_handshakes_failed_total", "TLS handshakes that failed.", net.handshakes_failed);
  counter("trustline_tls_handshake_deadlines_total", "Connections closed in the handshake by its deadline.",
          net.handshake_deadlines);
  counter("trustline_tls_exchange_deadlines_total", "Connections closed after the handshake by the exchange deadline.",
          net.exchange_deadlines);
  counter("trustline_tls_closed_mid_message_total", "Connections that the peer closed inside a message.",
          net.closed_mid_message);
  counter("trustline_tls_received_bytes_total", "Application bytes received.", net.bytes_in);
  counter("trustline_tls_sent_bytes_total", "Application bytes sent.", net.bytes_out);
  registrations.push_back(metrics.AddGaugeCallback(
      "trustline_tls_open_connections", "Connections open now.", labels,
      [&net] { return static_cast<double>(net.open_connections.load(std::memory_order_relaxed)); }));

  const TvsStatistics& tvs = endpoint.statistics();
  MetricLabels question = labels;
  const char* const answers_help = "Answers to phones, by question, verdict and reason.";
  question["question"] = "verify";
  AddAnswers(registrations, metrics, "trustline_tvs_answers_total", answers_help, question, tvs.verify);
  question["question"] = "query";
  AddAnswers(registrations, metrics, "trustline_tvs_answers_total", answers_help, question, tvs.query);
  counter("trustline_tvs_malformed_total", "Requests that could not be read.", tvs.malformed);
  counter("trustline_tvs_misses_total", "Questions that asked the database once more.", tvs.misses);
  counter("trustline_tvs_silent_away_total", "Connections closed without a verdict: unknown and the database away.",
          tvs.silent_away);
  counter("trustline_tvs_silent_stale_total", "Connections closed without a verdict: the node over its age limit.",
          tvs.silent_stale);
  return registrations;
}

Registrations RegisterFollowerMetrics(Metrics& metrics, const TrustFollower& follower) {
  Registrations registrations;
  for (const auto& owned : follower.clusters()) {
    const FollowedCluster& cluster = *owned;
    const MetricLabels labels = {{"cluster", cluster.name()}};
    const auto gauge = [&](const char* name, const char* help, std::function<double()> read) {
      registrations.push_back(metrics.AddGaugeCallback(name, help, labels, std::move(read)));
    };
    gauge("trustline_tvs_snapshot_age_seconds", "Since the database last said that there is nothing newer.",
          [&cluster] {
            return cluster.loaded() ? std::chrono::duration<double>(cluster.Age()).count()
                                    : std::numeric_limits<double>::infinity();
          });
    gauge("trustline_tvs_snapshot_commit", "The last change of the trust store that this node answers with.",
          [&cluster] { return static_cast<double>(cluster.Snapshot()->commit()); });
    gauge("trustline_tvs_certificates", "Certificates held, removed ones included.",
          [&cluster] { return static_cast<double>(cluster.Snapshot()->certificate_count()); });
    gauge("trustline_tvs_crl_next_update_seconds", "The earliest next update among the imported CRLs, Unix time.",
          [&cluster] {
            int64_t earliest = TrustRecord::kForever;
            const auto snapshot = cluster.Snapshot();
            for (const auto& crl : snapshot->crls()) earliest = std::min(earliest, crl->next_update);
            return earliest == TrustRecord::kForever ? std::numeric_limits<double>::infinity()
                                                     : static_cast<double>(earliest);
          });
    registrations.push_back(metrics.AddCounterCallback(
        "trustline_tvs_digest_mismatches_total", "Times the memory differed from the database.", labels,
        [&cluster] { return static_cast<double>(cluster.digest_mismatches()); }));
  }
  return registrations;
}

}  // namespace trustline
