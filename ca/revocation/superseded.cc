#include "ca/revocation/superseded.h"

#include <vector>

#include "ca/authority/authority_store.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Of one transaction: devices that confirm something wait for its rows.
constexpr int64_t kBatch = 1000;

constexpr Statement kNextGood = {
    "next_good_issuances",
    "SELECT issuance_id FROM issuance WHERE cluster_id = $1 AND authority_id = $2 AND issuance_id > $3 "
    "AND state IN ('signed', 'delivered', 'confirmed') AND not_after > now() ORDER BY issuance_id LIMIT $4"};

struct Batch {
  std::vector<int64_t> issuances;
  int64_t revoked = 0;
};

absl::StatusOr<Batch> RevokeBatch(Connection& connection, const AuthorityCaller& caller, int32_t authority_id,
                                  int64_t after) {
  // Each time: somebody may let it issue again meanwhile.
  ASSIGN_OR_RETURN(const Authority authority, AuthorityStore(connection, caller.cluster_id).Load(authority_id));
  if (authority.state != AuthorityState::kTainted) {
    return FailedPrecondition(
        "authority {} is {}: what a newer certificate supersedes is revoked in bulk for a tainted one only "
        "(`trustctl ca list`)",
        authority_id, AuthorityStateName(authority.state));
  }
  ASSIGN_OR_RETURN(
      const Result good,
      connection.Execute(kNextGood,
                         Parameters().Int64(caller.cluster_id).Int64(authority_id).Int64(after).Int64(kBatch)));
  Batch batch;
  for (const Row row : good) {
    ASSIGN_OR_RETURN(const int64_t id, row.Get<int64_t>(0));
    batch.issuances.push_back(id);
  }
  ASSIGN_OR_RETURN(batch.revoked, Revoker(connection, caller).RevokeSuperseded(authority_id, batch.issuances));
  return batch;
}

}  // namespace

absl::StatusOr<SupersededCount> RevokeSuperseded(Pool& pool, const AuthorityCaller& caller, int32_t authority_id,
                                                 const std::function<absl::Status(const SupersededCount&)>& progress) {
  SupersededCount count;
  int64_t last = 0;
  while (true) {
    ASSIGN_OR_RETURN(const Batch batch, RunInTransaction(pool, {}, [&](Connection& connection) {
                       return RevokeBatch(connection, caller, authority_id, last);
                     }));
    count.checked += std::ssize(batch.issuances);
    count.revoked += batch.revoked;
    if (std::ssize(batch.issuances) < kBatch) return count;
    last = batch.issuances.back();
    RETURN_IF_ERROR(progress(count));
  }
}

}  // namespace trustline
