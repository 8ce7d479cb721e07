#include "capf/session_leases.h"

#include <vector>

#include "common/status/status.h"

namespace trustline {

void SessionLeases::Add(const OperationClaim& claim, absl::Time end) {
  const std::lock_guard lock(mutex_);
  running_[claim.claim] = {.operation_id = claim.operation_id, .end = end};
}

void SessionLeases::Remove(const OperationClaim& claim) {
  const std::lock_guard lock(mutex_);
  running_.erase(claim.claim);
}

absl::Status SessionLeases::Renew(Pool& pool, int32_t cluster_id, absl::Time now) {
  // Whoever has locked a row is changing it, and may have locked others in another order: it is renewed the next time.
  static constexpr Statement kRenew = {
      "renew_session_leases",
      "UPDATE capf_operation SET session_until = $4 WHERE ctid = ANY (ARRAY (SELECT o.ctid "
      "FROM unnest($2::bigint[], $3::bytea[]) AS running (operation_id, claim) JOIN capf_operation o "
      "ON o.cluster_id = $1 AND o.operation_id = running.operation_id AND o.session_claim = running.claim "
      "FOR NO KEY UPDATE OF o SKIP LOCKED))"};
  std::vector<int64_t> operations;
  std::vector<std::string> claims;
  {
    const std::lock_guard lock(mutex_);
    // A clock that was set back does not put it off.
    if (renewed_at_ <= now && now < renewed_at_ + kLeaseRenewal) return absl::OkStatus();
    std::erase_if(running_, [now](const auto& running) { return running.second.end <= now; });
    for (const auto& [claim, running] : running_) {
      operations.push_back(running.operation_id);
      claims.push_back(claim);
    }
  }
  if (!operations.empty()) {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool.Acquire());
    RETURN_IF_ERROR(
        lease
            ->Execute(
                kRenew,
                Parameters().Int64(cluster_id).Int64Array(operations).BytesArray(claims).Time(now + kSessionLease))
            .status());
  }
  const std::lock_guard lock(mutex_);
  renewed_at_ = now;
  return absl::OkStatus();
}

}  // namespace trustline
