// Retention: removes the records of certificates that ended long ago. Without it they are kept for ever.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/revocation/revocation.h"
#include "common/postgres/connection.h"
#include "common/postgres/pool.h"

namespace trustline {

struct PurgeOrder {
  AuthorityCaller caller;
  absl::Time expired_before;
  int64_t batch = 10'000;  // rows of one transaction
};

struct PurgeCount {
  int64_t certificates = 0;
  int64_t requests = 0;  // abandoned ones
};

// Removes the cluster's certificates that ended before a time, revoked ones only when a CRL has named them, and the
// requests that were abandoned before it. Open requests stay. Each transaction records what it removed (table
// issuance_purge, audited as lsc.purge). `progress` is told the numbers so far and ends the work by an error of its
// own; what was removed by then stays so, and the next order goes on. FailedPrecondition unless the time lies 30 days
// in the past.
absl::StatusOr<PurgeCount> PurgeIssuances(Pool& pool, const PurgeOrder& order,
                                          const std::function<absl::Status(const PurgeCount&)>& progress);

// What PurgeIssuances() would remove; with the same refusal.
absl::StatusOr<PurgeCount> CountPurgeable(Connection& connection, int32_t cluster_id, absl::Time expired_before);

// The latest time before which certificates ended whose records were removed.
absl::StatusOr<std::optional<absl::Time>> PurgedBefore(Connection& connection, int32_t cluster_id);

}  // namespace trustline
