#include "capf/operation_progress.h"

#include "common/bytes/bytes.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// The commit of a transaction that has this is not waited for: what a crash of the database undoes then makes the phone
// begin anew, as any broken session does.
#define UNHURRIED_COMMIT "set_config('synchronous_commit', 'off', true)"

absl::Status ClaimLost() { return Aborted("the operation was taken over by another session, or ended"); }

absl::StatusOr<OperationRecord> OnlyRow(const Result& result) {
  if (result.empty()) return ClaimLost();
  return ReadOperationRecord(result[0]);
}

}  // namespace

absl::Status OperationProgress::Claim(const OperationRecord& locked, const NewClaim& claim, absl::Time now) {
  static constexpr Statement kClaim = {
      "claim_operation",
      "UPDATE capf_operation SET state = 'in progress', session_claim = $3, session_node = $4, session_address = $5, "
      "session_until = $6, started_at = $7 WHERE cluster_id = $1 AND operation_id = $2 "
      "RETURNING " UNHURRIED_COMMIT};
  return connection_
      .Execute(kClaim, Parameters()
                           .Int64(cluster_id_)
                           .Int64(locked.id)
                           .Bytes(AsBytes(claim.claim))
                           .Text(claim.node)
                           .Text(claim.address)
                           .Time(claim.until)
                           .Time(now))
      .status();
}

absl::Status OperationProgress::Expire(const OperationRecord& locked, std::string_view actor, absl::Time now) {
  static constexpr Statement kExpire = {
      "expire_operation",
      "UPDATE capf_operation SET state = 'expired', reason = $3, ended_at = $4, session_claim = NULL, session_until = "
      "NULL, " DISCARD_UNACKNOWLEDGED " WHERE cluster_id = $1 AND operation_id = $2"};
  RETURN_IF_ERROR(
      connection_.Execute(kExpire, Parameters().Int64(cluster_id_).Int64(locked.id).Text(kExpiredReason).Time(now))
          .status());
  return AppendAudit(connection_, {.cluster_id = cluster_id_,
                                   .actor = std::string(actor),
                                   .action = "capf.expire",
                                   .subject = locked.device,
                                   .detail = {{"operation", fmt::format("{}", locked.id)}}});
}

absl::StatusOr<int32_t> OperationProgress::CountWrongString(const OperationRecord& locked, absl::Time now) {
  static constexpr Statement kCount = {
      "count_wrong_string",
      "UPDATE capf_operation SET wrong_strings = wrong_strings + 1 WHERE cluster_id = $1 AND operation_id = $2 "
      "RETURNING wrong_strings"};
  static constexpr Statement kExpireString = {
      "expire_string",
      "UPDATE capf_operation SET state = 'failed', reason = $3, ended_at = $4, session_claim = NULL, session_until = "
      "NULL, " DISCARD_UNACKNOWLEDGED " WHERE cluster_id = $1 AND operation_id = $2"};
  ASSIGN_OR_RETURN(const Result counted, connection_.Execute(kCount, Parameters().Int64(cluster_id_).Int64(locked.id)));
  ASSIGN_OR_RETURN(const int32_t wrong_strings, counted.Value<int32_t>());
  if (wrong_strings >= kMostWrongStringsOfOperation) {
    const std::string reason =
        fmt::format("its authentication string expired after {} wrong tries: schedule it again", wrong_strings);
    RETURN_IF_ERROR(
        connection_.Execute(kExpireString, Parameters().Int64(cluster_id_).Int64(locked.id).Text(reason).Time(now))
            .status());
  }
  return wrong_strings;
}

absl::Status OperationProgress::SetIssuance(int64_t operation_id, std::string_view claim, int64_t issuance_id) {
  static constexpr Statement kSet = {
      "set_issuance_of_operation",
      "UPDATE capf_operation SET issuance_id = $4 WHERE cluster_id = $1 AND operation_id = $2 AND session_claim = $3 "
      "RETURNING " UNHURRIED_COMMIT};
  ASSIGN_OR_RETURN(
      const Result changed,
      connection_.Execute(
          kSet, Parameters().Int64(cluster_id_).Int64(operation_id).Bytes(AsBytes(claim)).Int64(issuance_id)));
  return changed.empty() ? ClaimLost() : absl::OkStatus();
}

absl::StatusOr<OperationRecord> OperationProgress::Succeed(int64_t operation_id, std::string_view claim,
                                                           absl::Time now) {
  // What was deleted is what the device was issued up to now, whatever comes before cad hears of it.
  static constexpr Statement kSucceed = {
      "succeed_operation",
      "UPDATE capf_operation o SET state = 'success', ended_at = $4, session_claim = NULL, session_until = NULL, "
      "string_used_at = CASE WHEN authentication = 'string' THEN $4 END, "
      "issuance_id = CASE operation WHEN 'delete' THEN (SELECT max(i.issuance_id) FROM issuance i "
      " WHERE i.cluster_id = $1 AND i.device = o.device) ELSE issuance_id END, "
      "unsettled = CASE operation WHEN 'install' THEN 'confirm' WHEN 'delete' THEN 'revoke' END "
      "WHERE cluster_id = $1 AND operation_id = $2 AND session_claim = $3 RETURNING " OPERATION_RECORD_COLUMNS};
  static constexpr Statement kForgetWrongStrings = {"forget_wrong_strings_of_device",
                                                    "DELETE FROM capf_lockout WHERE cluster_id = $1 AND device = $2"};
  ASSIGN_OR_RETURN(const Result changed,
                   connection_.Execute(
                       kSucceed, Parameters().Int64(cluster_id_).Int64(operation_id).Bytes(AsBytes(claim)).Time(now)));
  ASSIGN_OR_RETURN(OperationRecord record, OnlyRow(changed));
  if (record.wrong_strings > 0) {
    RETURN_IF_ERROR(
        connection_.Execute(kForgetWrongStrings, Parameters().Int64(cluster_id_).Text(record.device)).status());
  }
  return record;
}

absl::StatusOr<OperationRecord> OperationProgress::Fail(int64_t operation_id, std::string_view claim,
                                                        std::string_view reason, absl::Time now) {
  static constexpr Statement kFail = {
      "fail_operation",
      "UPDATE capf_operation SET state = 'failed', reason = $4, ended_at = $5, session_claim = NULL, session_until = "
      "NULL, " DISCARD_UNACKNOWLEDGED
      " WHERE cluster_id = $1 AND operation_id = $2 AND session_claim = $3 RETURNING " OPERATION_RECORD_COLUMNS};
  ASSIGN_OR_RETURN(
      const Result changed,
      connection_.Execute(
          kFail, Parameters().Int64(cluster_id_).Int64(operation_id).Bytes(AsBytes(claim)).Text(reason).Time(now)));
  return OnlyRow(changed);
}

absl::StatusOr<OperationRecord> OperationProgress::Release(int64_t operation_id, std::string_view claim) {
  static constexpr Statement kRelease = {
      "release_operation",
      "UPDATE capf_operation SET state = 'pending', session_claim = NULL, session_until = NULL "
      "WHERE cluster_id = $1 AND operation_id = $2 AND session_claim = $3 RETURNING " OPERATION_RECORD_COLUMNS};
  ASSIGN_OR_RETURN(
      const Result changed,
      connection_.Execute(kRelease, Parameters().Int64(cluster_id_).Int64(operation_id).Bytes(AsBytes(claim))));
  return OnlyRow(changed);
}

}  // namespace trustline
