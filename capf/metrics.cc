#include "capf/metrics.h"

#include <utility>

#include "common/service/listener_metrics.h"

namespace trustline {

std::vector<Metrics::Registration> RegisterListenerMetrics(Metrics& metrics, const std::string& cluster,
                                                           const StreamServer& server, const CapfEndpoint& endpoint) {
  MetricLabels labels = {{"cluster", cluster}, {"listener", server.options().name}};
  std::vector<Metrics::Registration> registrations = RegisterTlsMetrics(metrics, labels, server);
  const CapfStatistics& capf = endpoint.statistics();
  registrations.push_back(
      metrics.AddCounterCallback("trustline_capf_sessions_total", "Sessions begun.", labels, capf.sessions));
  const std::pair<const char*, const std::atomic<uint64_t>&> outcomes[] = {
      {"installed", capf.installed}, {"fetched", capf.fetched},
      {"deleted", capf.deleted},     {"nothing_scheduled", capf.nothing_scheduled},
      {"refused", capf.refused},     {"unknown_device", capf.unknown_device},
      {"failed", capf.failed},       {"busy", capf.busy},
      {"over_rate", capf.over_rate}, {"over_pace", capf.over_pace},
      {"malformed", capf.malformed}, {"unavailable", capf.unavailable},
      {"broken", capf.broken},
  };
  for (const auto& [outcome, count] : outcomes) {
    labels["outcome"] = outcome;
    registrations.push_back(
        metrics.AddCounterCallback("trustline_capf_outcomes_total", "How sessions ended, by outcome.", labels, count));
  }
  return registrations;
}

}  // namespace trustline
