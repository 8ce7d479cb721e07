// The metrics of capfd's listeners (docs/OPERATIONS.md lists them).
#pragma once

#include <string>
#include <vector>

#include "capf/session.h"
#include "common/net/stream_server.h"
#include "common/service/metrics.h"

namespace trustline {

// Counters of the socket layer and of the protocol, labelled with the listener and its cluster. The objects must
// outlive the registrations.
std::vector<Metrics::Registration> RegisterListenerMetrics(Metrics& metrics, const std::string& cluster,
                                                           const StreamServer& server, const CapfEndpoint& endpoint);

}  // namespace trustline
