#include "capf/enrolment_sweeper.h"

#include <algorithm>
#include <vector>

#include "absl/time/clock.h"
#include "capf/operation_progress.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kBatch = 1000;
constexpr int kMostBatches = 20;  // of a kind in a pass, so that each kind has its turn
constexpr int kSettlements = 100;
constexpr absl::Duration kLocksAreKept = absl::Hours(24);

constexpr char kMetric[] = "trustline_capf_sweeps_total";
constexpr char kHelp[] = "Operations that the sweeper changed";

// Rows are named by where they are, so that no plan reads a table for them. What another capfd changes is left to it.
constexpr Statement kReleaseAbandoned = {
    "release_abandoned_operations",
    "UPDATE capf_operation SET state = 'pending', session_claim = NULL, session_until = NULL "
    "WHERE ctid = ANY (ARRAY (SELECT ctid FROM capf_operation WHERE state = 'in progress' AND "
    "(session_until <= $1 OR (session_node = $2 AND started_at < $3)) LIMIT $4 FOR UPDATE SKIP LOCKED))"};
constexpr Statement kExpireOverdue = {
    "expire_overdue_operations",
    "UPDATE capf_operation SET state = 'expired', reason = $2, ended_at = $1, " DISCARD_UNACKNOWLEDGED
    " WHERE ctid = ANY (ARRAY ("
    "SELECT ctid FROM capf_operation WHERE state = 'pending' AND deadline <= $1 LIMIT $3 FOR UPDATE SKIP LOCKED)) "
    "RETURNING cluster_id, device, operation_id"};
constexpr Statement kAuditExpired = {
    "audit_expired_operations",
    "SELECT audit_append(cluster_id::integer, NULL, $4, 'capf.expire', device, 'done', detail) "
    "FROM unnest($1::bigint[], $2::text[], $3::text[]) AS expired (cluster_id, device, detail)"};
constexpr Statement kForgetLocks = {
    "forget_old_locks",
    "DELETE FROM capf_lockout WHERE ctid = ANY (ARRAY (SELECT ctid FROM capf_lockout WHERE last_wrong_at <= $1 "
    "AND coalesce(locked_until <= $2, true) LIMIT $3 FOR UPDATE SKIP LOCKED))"};
constexpr Statement kUnsettled = {
    "unsettled_operations",
    "SELECT o.cluster_id, c.name, operation_id, device, unsettled, coalesce(issuance_id, 0) "
    "FROM capf_operation o JOIN cluster c USING (cluster_id) WHERE unsettled IS NOT NULL AND ended_at <= $1 "
    "AND (o.cluster_id, operation_id) > ($2, $3) ORDER BY o.cluster_id, operation_id LIMIT $4"};

// Batch after batch, each a transaction, until one is not full.
template <typename Body>
absl::StatusOr<int64_t> InBatches(Pool& pool, Body body) {
  int64_t rows = 0;
  for (int batch = 0; batch < kMostBatches; ++batch) {
    ASSIGN_OR_RETURN(const int64_t changed, RunInTransaction(pool, {}, body));
    rows += changed;
    if (changed < kBatch) break;
  }
  return rows;
}

}  // namespace

EnrolmentSweeper::EnrolmentSweeper(EnrolmentSweeperOptions options, Pool& pool, Settlement& settlement,
                                   const Clock& clock, Log& log, Metrics& metrics)
    : options_(std::move(options)),
      pool_(pool),
      settlement_(settlement),
      clock_(clock),
      log_(log),
      released_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "released"}})),
      expired_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "expired"}})),
      settled_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "settled"}})),
      begin_(clock.Now()),
      dead_node_(options_.node) {}

void EnrolmentSweeper::Start() {
  thread_ = std::thread([this] { Run(); });
}

void EnrolmentSweeper::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void EnrolmentSweeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::StatusOr<EnrolmentSweep> sweep = Sweep();
    if (!sweep.ok() && !absl::IsUnavailable(sweep.status())) {
      log_.Warning("CAPF_SWEEP_FAILED", "scheduled operations could not be looked at", {{"reason", sweep.status()}});
    }
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_; });
  }
  lock.unlock();
  options_.also().IgnoreError();
}

absl::StatusOr<EnrolmentSweep> EnrolmentSweeper::Sweep() {
  const absl::Time now = clock_.Now();
  EnrolmentSweep sweep;
  RETURN_IF_ERROR(options_.also());
  ASSIGN_OR_RETURN(sweep.released, ReleaseAbandoned(now));
  ASSIGN_OR_RETURN(sweep.expired, ExpireOverdue(now));
  ASSIGN_OR_RETURN(sweep.locks_forgotten, ForgetLocks(now));
  ASSIGN_OR_RETURN(sweep.settled, Settle(now));
  return sweep;
}

absl::StatusOr<int64_t> EnrolmentSweeper::ReleaseAbandoned(absl::Time now) {
  ASSIGN_OR_RETURN(
      const int64_t released, InBatches(pool_, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        ASSIGN_OR_RETURN(
            const Result result,
            connection.Execute(kReleaseAbandoned, Parameters().Time(now).Text(dead_node_).Time(begin_).Int64(kBatch)));
        return result.affected();
      }));
  // Once: after that a clock that is set back must not make this process's own sessions look like an earlier one's.
  dead_node_.reset();
  released_.Add(static_cast<uint64_t>(released));
  if (released > 0) {
    log_.Info("CAPF_OPERATIONS_RELEASED", "operations whose sessions were lost are pending again",
              {{"operations", released}});
  }
  return released;
}

absl::StatusOr<int64_t> EnrolmentSweeper::ExpireBatch(Connection& transaction, absl::Time now) {
  ASSIGN_OR_RETURN(const Result result,
                   transaction.Execute(kExpireOverdue, Parameters().Time(now).Text(kExpiredReason).Int64(kBatch)));
  if (result.empty()) return 0;
  std::vector<int64_t> clusters;
  std::vector<std::string> devices, details;
  for (const Row row : result) {
    int64_t operation_id = 0;
    RETURN_IF_ERROR(row.Scan(clusters.emplace_back(), devices.emplace_back(), operation_id));
    details.push_back(AuditDetailJson({.detail = {{"operation", fmt::format("{}", operation_id)}}}));
  }
  RETURN_IF_ERROR(
      transaction
          .Execute(kAuditExpired,
                   Parameters().Int64Array(clusters).TextArray(devices).TextArray(details).Text(options_.actor))
          .status());
  return result.rows();
}

absl::StatusOr<int64_t> EnrolmentSweeper::ExpireOverdue(absl::Time now) {
  ASSIGN_OR_RETURN(const int64_t expired,
                   InBatches(pool_, [&](Connection& connection) { return ExpireBatch(connection, now); }));
  expired_.Add(static_cast<uint64_t>(expired));
  if (expired > 0) {
    log_.Info("CAPF_OPERATIONS_EXPIRED", "operations were not done by their deadlines", {{"operations", expired}});
  }
  return expired;
}

absl::StatusOr<int64_t> EnrolmentSweeper::ForgetLocks(absl::Time now) {
  return InBatches(pool_, [&](Connection& connection) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const Result result,
                     connection.Execute(kForgetLocks, Parameters().Time(now - kLocksAreKept).Time(now).Int64(kBatch)));
    return result.affected();
  });
}

absl::StatusOr<int64_t> EnrolmentSweeper::Settle(absl::Time now) {
  if (now < settle_from_) return 0;
  std::vector<UnsettledOperation> unsettled;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result result, lease->Execute(kUnsettled, Parameters()
                                                                         .Time(now - options_.grace)
                                                                         .Int64(settled_up_to_.first)
                                                                         .Int64(settled_up_to_.second)
                                                                         .Int64(kSettlements)));
    for (const Row row : result) {
      UnsettledOperation& operation = unsettled.emplace_back();
      std::string kind;
      RETURN_IF_ERROR(row.Scan(operation.cluster_id, operation.cluster, operation.operation_id, operation.device, kind,
                               operation.issuance_id));
      operation.kind = kind == "revoke"    ? UnsettledOperation::Kind::kRevoke
                       : kind == "discard" ? UnsettledOperation::Kind::kDiscard
                                           : UnsettledOperation::Kind::kConfirm;
    }
  }
  int64_t settled = 0;
  bool is_cad_away = false;
  for (const UnsettledOperation& operation : unsettled) {
    // A slow cad must not keep what is due from being done.
    options_.also().IgnoreError();
    const absl::Status status = settlement_.Settle(operation);
    settled += status.ok() ? 1 : 0;
    if (!status.ok()) {
      log_.Warning("CAPF_CAD_NOT_TOLD", "cad could not be told what became of an operation: it is tried again",
                   {{"device", operation.device}, {"reason", status}});
    }
    is_cad_away = absl::IsUnavailable(status);
    if (is_cad_away) break;
    settled_up_to_ = {operation.cluster_id, operation.operation_id};
  }
  // The next pass begins anew once all have been looked at.
  if (!is_cad_away && unsettled.size() < kSettlements) settled_up_to_ = {0, 0};
  const bool has_failures = settled < static_cast<int64_t>(unsettled.size());
  pause_ = has_failures ? std::clamp(2 * pause_, options_.interval, options_.longest_pause) : absl::ZeroDuration();
  settle_from_ = now + pause_;
  settled_.Add(static_cast<uint64_t>(settled));
  return settled;
}

}  // namespace trustline
