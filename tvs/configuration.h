// tvsd's own sections of its configuration file (docs/OPERATIONS.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/service/config.h"
#include "common/service/listener_config.h"
#include "tvs/crl_endpoint.h"
#include "tvs/freshness.h"

namespace trustline {

struct TvsdConfig {
  FreshnessPolicy freshness;
  size_t workers = 0;  // 0: one a core
  std::vector<ListenerConfig> listeners;
  std::optional<CrlListenerConfig> crl;  // absent: CRLs are not served
  std::string grpc_advertise;            // the host by which itld reaches this node's gRPC; empty: as it is seen
};

// Reads [tvs], [[listener]], [crl] and [grpc] advertise. InvalidArgument with file and line.
absl::StatusOr<TvsdConfig> ReadTvsdConfig(ConfigTable root);

}  // namespace trustline
