#include "capf/settlement.h"

#include <algorithm>
#include <vector>

#include "common/postgres/list_plan.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// A request that is open may still become a certificate. What was issued after the last that is on record is of the
// same operation, unless a later one has begun, whose end sees to it.
constexpr Statement kIssuedBefore = {
    "certificates_to_revoke",
    "SELECT encode(serial, 'hex'), state = 'intent' FROM (SELECT issuance_id, serial, state, not_after, requested_by "
    " FROM issuance WHERE cluster_id = $1 AND device = $2 OFFSET 0) of_device WHERE (issuance_id <= $3 OR (NOT $5 AND "
    " NOT EXISTS (SELECT FROM capf_operation WHERE cluster_id = $1 AND device COLLATE \"C\" = $2 "
    " AND operation_id > $6 AND started_at IS NOT NULL))) "
    "AND (state = 'intent' OR (state IN ('signed', 'delivered', 'confirmed') AND not_after > $4)) "
    "AND ($5 OR (state <> 'confirmed' AND requested_by LIKE 'trustline:%/capfd/%' AND NOT EXISTS ("
    " SELECT FROM capf_operation o WHERE o.cluster_id = $1 AND o.device COLLATE \"C\" = $2 AND o.state = 'success' "
    " AND o.issuance_id = of_device.issuance_id))) ORDER BY issuance_id"};
// Not waited for: what a crash undoes is told again.
constexpr Statement kUnhurried = {"unhurried", "SET LOCAL synchronous_commit = off"};
constexpr Statement kNotConfirmed = {
    "operation_not_confirmed",
    "UPDATE capf_operation SET state = 'failed', reason = $3 WHERE cluster_id = $1 AND operation_id = $2 "
    "AND state = 'success'"};
constexpr Statement kSettled = {
    "operations_settled",
    "UPDATE capf_operation o SET unsettled = NULL FROM unnest($2::bigint[]) AS settled (operation_id) CROSS JOIN "
    "LATERAL (SELECT ctid AS place FROM capf_operation WHERE cluster_id = $1 AND operation_id = settled.operation_id "
    " FOR NO KEY UPDATE) locked WHERE o.ctid = locked.place"};

// cad has one transaction for them.
constexpr size_t kMostInBatch = 100;

}  // namespace

absl::Status Settlement::Settle(const UnsettledOperation& operation) {
  if (operation.kind == UnsettledOperation::Kind::kConfirm) return Confirm(operation);
  RETURN_IF_ERROR(Revoke(operation));
  return RecordSettled(operation.cluster_id, {operation.operation_id});
}

absl::Status Settlement::RecordSettled(int32_t cluster_id, const std::vector<int64_t>& operations) {
  return RunInTransaction(pool_, {}, [&](Connection& connection) {
    connection.ExecuteWithNext(kUnhurried);
    connection.ExecuteWithNext(kOnePlanForLists);
    connection.ExecuteWithNext(kSettled, Parameters().Int64(cluster_id).Int64Array(operations));
    return absl::OkStatus();
  });
}

absl::Status Settlement::Confirm(const UnsettledOperation& operation) {
  Confirmation own = {.operation = operation};
  std::unique_lock lock(mutex_);
  waiting_.push_back(&own);
  while (!own.is_done) {
    if (is_confirming_) {
      changed_.wait(lock);
      continue;
    }
    // Who finds nobody at it does it for all.
    is_confirming_ = true;
    const std::vector<Confirmation*> batch = TakeBatch();
    lock.unlock();
    const absl::Status status = ConfirmBatch(batch);
    lock.lock();
    for (Confirmation* const confirmation : batch) {
      confirmation->status = status;
      confirmation->is_done = true;
    }
    is_confirming_ = false;
    changed_.notify_all();
  }
  return own.status;
}

std::vector<Settlement::Confirmation*> Settlement::TakeBatch() {
  const int32_t cluster_id = waiting_.front()->operation.cluster_id;
  std::vector<Confirmation*> batch;
  std::deque<Confirmation*> others;
  for (Confirmation* const confirmation : waiting_) {
    const bool fits = batch.size() < kMostInBatch && confirmation->operation.cluster_id == cluster_id;
    fits ? batch.push_back(confirmation) : others.push_back(confirmation);
  }
  waiting_ = std::move(others);
  return batch;
}

absl::Status Settlement::ConfirmBatch(const std::vector<Confirmation*>& batch) {
  std::vector<int64_t> issuances, operations;
  for (const Confirmation* const confirmation : batch) {
    issuances.push_back(confirmation->operation.issuance_id);
    operations.push_back(confirmation->operation.operation_id);
  }
  std::ranges::sort(operations);
  const UnsettledOperation& first = batch.front()->operation;
  ASSIGN_OR_RETURN(const auto refusals, cad_.Confirm(first.cluster, issuances));
  for (const Confirmation* const confirmation : batch) {
    const auto refusal = refusals.find(confirmation->operation.issuance_id);
    if (refusal == refusals.end()) continue;
    // It was revoked or its record removed meanwhile, which no repetition changes.
    log_.Warning("CAPF_CONFIRMATION_REFUSED", "a device acknowledged a certificate that is not in force any more",
                 {{"device", confirmation->operation.device}, {"reason", refusal->second}});
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    RETURN_IF_ERROR(
        lease
            ->Execute(
                kNotConfirmed,
                Parameters()
                    .Int64(first.cluster_id)
                    .Int64(confirmation->operation.operation_id)
                    .Text(fmt::format("the certificate was not in force any more when the phone acknowledged it: {}",
                                      refusal->second)))
            .status());
  }
  return RecordSettled(first.cluster_id, operations);
}

absl::Status Settlement::Revoke(const UnsettledOperation& operation) {
  std::vector<std::string> serials;
  bool has_intent = false;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result issued,
                     lease->Execute(kIssuedBefore, Parameters()
                                                       .Int64(operation.cluster_id)
                                                       .Text(operation.device)
                                                       .Int64(operation.issuance_id)
                                                       .Time(clock_.Now())
                                                       .Bool(operation.kind == UnsettledOperation::Kind::kRevoke)
                                                       .Int64(operation.operation_id)));
    for (const Row row : issued) {
      std::string serial;
      bool is_intent = false;
      RETURN_IF_ERROR(row.Scan(serial, is_intent));
      if (is_intent) {
        has_intent = true;
      } else {
        serials.push_back(std::move(serial));
      }
    }
  }
  for (const std::string& serial : serials) {
    const absl::Status revoked = cad_.Revoke(operation.cluster, serial);
    if (!absl::IsNotFound(revoked)) RETURN_IF_ERROR(revoked);
  }
  if (has_intent) return Aborted("cad is about to issue a certificate for {}", operation.device);
  return absl::OkStatus();
}

}  // namespace trustline
