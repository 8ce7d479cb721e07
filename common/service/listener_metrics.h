// The metrics that every listener for phones has (docs/OPERATIONS.md lists them).
#pragma once

#include <vector>

#include "common/net/stream_server.h"
#include "common/service/metrics.h"

namespace trustline {

// The counters of the socket layer. The server must outlive the registrations.
std::vector<Metrics::Registration> RegisterTlsMetrics(Metrics& metrics, const MetricLabels& labels,
                                                      const StreamServer& server);

}  // namespace trustline
