// Reads one cluster's trust store from PostgreSQL into snapshots.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "tvs/trust_snapshot.h"

namespace trustline {

// What the database says of a cluster now.
struct ClusterCommit {
  int32_t cluster_id = 0;
  int64_t commit = 0;
};

// The last commit of each cluster, by name.
absl::StatusOr<std::map<std::string, ClusterCommit>> ReadClusterCommits(Connection& connection);

// The snapshot of the cluster's last commit: from `previous` and what has changed since, or from nothing when it is
// null. One consistent read.
absl::StatusOr<std::unique_ptr<const TrustSnapshot>> ReadSnapshot(Connection& connection, int32_t cluster_id,
                                                                  const TrustSnapshot* previous);

// The digest of the cluster's entries and CRLs as the database computes it, with the commit it belongs to.
struct DatabaseDigest {
  int64_t commit = 0;
  TrustSnapshot::Digest digest;
};
absl::StatusOr<DatabaseDigest> ReadDigest(Connection& connection, int32_t cluster_id);

}  // namespace trustline
