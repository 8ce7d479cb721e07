#include "tvs/metrics.h"

#include "common/service/listener_metrics.h"
#include "tvs/verdict.h"

namespace trustline {
namespace {

using Registrations = std::vector<Metrics::Registration>;

void AddAnswers(Registrations& registrations, Metrics& metrics, const std::string& name, const std::string& help,
                MetricLabels labels, const TvsStatistics::Answers& answers) {
  labels["verdict"] = "valid";
  labels["reason"] = "none";
  registrations.push_back(metrics.AddCounterCallback(name, help, labels, answers.valid));
  labels["verdict"] = "invalid";
  for (size_t i = 0; i < kInvalidReasons; ++i) {
    const InvalidReason reason = static_cast<InvalidReason>(i);
    labels["reason"] = reason == InvalidReason::kNone ? "without_role" : std::string(InvalidReasonName(reason));
    registrations.push_back(metrics.AddCounterCallback(name, help, labels, answers.invalid[i]));
  }
}

}  // namespace

Registrations RegisterListenerMetrics(Metrics& metrics, const std::string& cluster, const StreamServer& server,
                                      const TvsEndpoint& endpoint) {
  const MetricLabels labels = {{"cluster", cluster}, {"listener", server.options().name}};
  Registrations registrations = RegisterTlsMetrics(metrics, labels, server);
  const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& value) {
    registrations.push_back(metrics.AddCounterCallback(name, help, labels, value));
  };
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

Registrations RegisterQuestionMetrics(Metrics& metrics, const QuestionFlusher& flusher) {
  Registrations registrations;
  registrations.push_back(metrics.AddGaugeCallback("trustline_tvs_questions_waiting",
                                                   "Different questions of phones that itld was not told yet.", {},
                                                   [&flusher] { return static_cast<double>(flusher.waiting()); }));
  registrations.push_back(metrics.AddCounterCallback(
      "trustline_tvs_questions_without_room_total", "Questions of phones that were counted without a name.", {},
      [&flusher] { return static_cast<double>(flusher.without_room()); }));
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
