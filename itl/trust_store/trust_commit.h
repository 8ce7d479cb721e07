// The number of a trust-store transaction.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"

namespace trustline {

// Locks the trust store of the cluster until the transaction ends, so that what is read from now on cannot change
// before it is written. NotFound for a cluster that does not exist.
absl::Status LockTrustStore(Connection& transaction, int64_t cluster_id);

// The number that the rows of this transaction are stamped with. Taken only when something changes; the numbers are
// the order of the commits, because LockTrustStore came first.
absl::StatusOr<int64_t> NextTrustCommit(Connection& transaction, int64_t cluster_id);

}  // namespace trustline
