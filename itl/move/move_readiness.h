// Which phones would follow to another cluster, and which have.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/key_folder.h"
#include "itl/list/change_guard.h"
#include "itl/move/cluster_trust.h"
#include "itl/preflight/trust_world.h"
#include "proto/preflight.pb.h"

namespace trustline {

// `world` with the other cluster's lists and configuration files in place of its own, and with TVS nodes that answer
// for its signers. A phone may come to each of its servers. InvalidArgument for a list that cannot be read.
absl::StatusOr<TrustWorld> WorldOfMove(TrustWorld world, const ClusterTrust& target);

// Devices in service: the first by name, and how many there are.
struct NamedDevices {
  int64_t count = 0;
  std::vector<std::string> first;
};

// On which terms phones are judged, and what is told of them.
struct MoveAsked {
  Caution caution;
  v1::PreFlight& report;               // filled
  UnprovenPhones* unproven = nullptr;  // filled when given: all that are waited for
};

// Every phone of the cluster played against that, by the pre-flight. What it says of those that would not follow is in
// the report; the result is then a PreFlightRefusal().
absl::Status JudgeReadiness(Connection& connection, int32_t cluster_id, KeyFolder& keys, const ClusterTrust& target,
                            absl::Time now, const MoveAsked& asked);

// Every phone in service of the cluster that was not seen to hold a list of the other one, by what it reported here or,
// when that is of this system (`target_id`, else 0), there. They are unproven; the result as above.
absl::Status JudgeArrival(Connection& connection, int32_t cluster_id, int32_t target_id, const ClusterTrust& target,
                          const MoveAsked& asked);

// Those that were.
absl::StatusOr<NamedDevices> FindArrived(Connection& connection, int32_t cluster_id, int32_t target_id,
                                         const ClusterTrust& target);

// Every phone that was not seen to hold what is published now, ITL and CTL. They are unproven; the result as above.
absl::Status JudgeHolding(Connection& connection, int32_t cluster_id, absl::Time now, const MoveAsked& asked);

// Those with an LSC that is good at `now`.
absl::StatusOr<NamedDevices> FindDevicesWithLsc(Connection& connection, int32_t cluster_id, absl::Time now);
struct LscDeletions {
  NamedDevices waiting;  // their phones have not come for it
  NamedDevices done;     // since then, and they have had no other that is good at `now`
};
absl::StatusOr<LscDeletions> FindLscDeletions(Connection& connection, int32_t cluster_id, absl::Time since,
                                              absl::Time now);
// Those that are no device in service of the other cluster.
absl::StatusOr<NamedDevices> FindDevicesNotIn(Connection& connection, int32_t cluster_id, int32_t other_id);

}  // namespace trustline
