// The metrics of tvsd (docs/OPERATIONS.md lists them).
#pragma once

#include <vector>

#include "common/net/stream_server.h"
#include "common/service/metrics.h"
#include "tvs/question_flusher.h"
#include "tvs/session.h"
#include "tvs/trust_follower.h"

namespace trustline {

// Counters of the socket layer and of the protocol, labelled with the listener and its cluster. The objects must
// outlive the registrations.
std::vector<Metrics::Registration> RegisterListenerMetrics(Metrics& metrics, const std::string& cluster,
                                                           const StreamServer& server, const TvsEndpoint& endpoint);

// What phones asked, on its way to itld.
std::vector<Metrics::Registration> RegisterQuestionMetrics(Metrics& metrics, const QuestionFlusher& flusher);

// How fresh each followed cluster is.
std::vector<Metrics::Registration> RegisterFollowerMetrics(Metrics& metrics, const TrustFollower& follower);

}  // namespace trustline
