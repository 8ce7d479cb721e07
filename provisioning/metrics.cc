#include "provisioning/metrics.h"

#include <fmt/format.h>

#include <utility>

namespace trustline {

std::vector<Metrics::Registration> RegisterSipMetrics(Metrics& metrics, const std::string& cluster,
                                                      const SipStatistics& statistics) {
  std::vector<Metrics::Registration> registrations;
  const auto counter = [&](const char* name, const char* help, const std::atomic<uint64_t>& value,
                           const MetricLabels& more = {}) {
    MetricLabels labels = {{"cluster", cluster}};
    labels.insert(more.begin(), more.end());
    registrations.push_back(metrics.AddCounterCallback(name, help, labels, value));
  };
  for (size_t i = 0; i < kSipMethods.size(); ++i) {
    counter("trustline_sip_requests_total", "SIP requests, by method.", statistics.requests[i],
            {{"method", std::string(kSipMethods[i])}});
  }
  for (size_t i = 0; i < kSipAnswerCodes.size(); ++i) {
    counter("trustline_sip_answers_total", "SIP answers, by code.", statistics.answers[i],
            {{"code", kSipAnswerCodes[i] == 0 ? "other" : fmt::format("{}", kSipAnswerCodes[i])}});
  }
  counter("trustline_sip_malformed_total", "SIP messages that could not be read.", statistics.malformed);
  counter("trustline_sip_responses_ignored_total", "SIP responses, for which nobody had asked.",
          statistics.responses_ignored);
  counter("trustline_sip_floods_refused_total", "SIP requests over the pace of their address.",
          statistics.floods_refused);
  counter("trustline_sip_keep_alives_total", "Empty lines that keep a connection open.", statistics.keep_alives);
  const std::pair<const char*, const std::atomic<uint64_t>&> alarms[] = {
      {"trust_lists", statistics.alarms_of_lists},
      {"other", statistics.alarms_other},
      {"unreadable", statistics.alarms_unreadable},
  };
  for (const auto& [kind, count] : alarms) {
    counter("trustline_sip_alarms_total", "Alarms of phones, by kind.", count, {{"kind", kind}});
  }
  counter("trustline_sip_claims_total", "Reports of anybody.", statistics.claims);
  counter("trustline_sip_unstored_total", "Reports that were not stored when they were answered.", statistics.unstored);
  return registrations;
}

}  // namespace trustline
