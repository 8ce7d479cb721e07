#include "itl/trust_store/trust_commit.h"

#include "common/status/status.h"

namespace trustline {

absl::Status LockTrustStore(Connection& transaction, int64_t cluster_id) {
  static constexpr Statement kLock = {"trust_lock", "SELECT 1::bigint FROM cluster WHERE cluster_id = $1 FOR UPDATE"};
  ASSIGN_OR_RETURN(const Result result, transaction.Execute(kLock, Parameters().Int64(cluster_id)));
  if (result.empty()) return NotFound("the cluster does not exist any more");
  return absl::OkStatus();
}

absl::StatusOr<int64_t> NextTrustCommit(Connection& transaction, int64_t cluster_id) {
  static constexpr Statement kNext = {
      "trust_next_commit",
      "UPDATE cluster SET trust_commit = trust_commit + 1 WHERE cluster_id = $1 RETURNING trust_commit"};
  ASSIGN_OR_RETURN(const Result result, transaction.Execute(kNext, Parameters().Int64(cluster_id)));
  return result.Value<int64_t>();
}

}  // namespace trustline
