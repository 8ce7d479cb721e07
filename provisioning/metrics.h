// What provisiond tells Prometheus of SIP (docs/OPERATIONS.md lists it).
#pragma once

#include <string>
#include <vector>

#include "common/service/metrics.h"
#include "provisioning/sip/statistics.h"

namespace trustline {

// The statistics must outlive the registrations.
std::vector<Metrics::Registration> RegisterSipMetrics(Metrics& metrics, const std::string& cluster,
                                                      const SipStatistics& statistics);

}  // namespace trustline
