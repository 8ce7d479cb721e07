#include "itl/audit/retention.h"

#include <fmt/format.h>

#include "absl/time/civil_time.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/audit/sealer.h"

namespace trustline {
namespace {

// Any number that no other advisory lock of the system has ("retire" as bytes).
constexpr int64_t kRetireLock = 0x726574697265;

absl::CivilMonth MonthOf(absl::Time time) { return absl::ToCivilMonth(time, absl::UTCTimeZone()); }
absl::Time BeginningOf(absl::CivilMonth month) { return absl::FromCivil(month, absl::UTCTimeZone()); }

// The rows before `before`, by their last number.
struct Cut {
  absl::Time before;
  int64_t last_number = 0;
};

absl::Status CheckNothingWaits(Connection& connection, absl::Time before) {
  static constexpr Statement kWaiting = {"audit_retire_waiting", "SELECT count(*) FROM audit_unsealed WHERE at < $1"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kWaiting, Parameters().Time(before)));
  ASSIGN_OR_RETURN(const int64_t waiting, result.Value<int64_t>());
  if (waiting == 0) return absl::OkStatus();
  return FailedPrecondition(
      "nothing was retired: {} audit rows before {} are not chained yet; look at itld's log for AUDIT_SEALING_FAILED",
      waiting, TimeTextSeconds(before));
}

// A row gets its time when it is inserted and its number when it is committed: a month's rows may be chained among the
// next month's. A checkpoint can stand for a whole beginning of the chain only.
absl::StatusOr<Cut> FindCut(Connection& connection, absl::CivilMonth month) {
  static constexpr Statement kLast = {"audit_retire_last",
                                      "SELECT coalesce(max(number), 0) FROM audit_seal WHERE at < $1"};
  static constexpr Statement kMixed = {"audit_retire_mixed",
                                       "SELECT EXISTS (SELECT FROM audit_seal WHERE number < $1 AND at >= $2)"};
  for (absl::CivilMonth end = month;; --end) {
    Cut cut{.before = BeginningOf(end)};
    ASSIGN_OR_RETURN(const Result last, connection.Execute(kLast, Parameters().Time(cut.before)));
    ASSIGN_OR_RETURN(cut.last_number, last.Value<int64_t>());
    if (cut.last_number == 0) {
      return FailedPrecondition("there is nothing to retire: no whole month of audit rows lies before {}",
                                TimeTextSeconds(BeginningOf(month)));
    }
    ASSIGN_OR_RETURN(const Result mixed,
                     connection.Execute(kMixed, Parameters().Int64(cut.last_number).Time(cut.before)));
    ASSIGN_OR_RETURN(const bool is_mixed, mixed.Value<bool>());
    if (!is_mixed) return cut;
  }
}

absl::StatusOr<AuditCheckpoint> MakeCheckpoint(Connection& connection, const IdentityAuthority& authority,
                                               const Cut& cut, absl::Time now, const std::string& actor) {
  static constexpr Statement kHash = {"audit_retire_hash", "SELECT hash FROM audit_seal WHERE number = $1"};
  ASSIGN_OR_RETURN(const std::optional<AuditCheckpoint> previous, NewestCheckpoint(connection));
  ASSIGN_OR_RETURN(const Result hash, connection.Execute(kHash, Parameters().Int64(cut.last_number)));
  AuditCheckpoint checkpoint{.seal = {.number = cut.last_number}, .retired_before = cut.before, .at = now};
  ASSIGN_OR_RETURN(checkpoint.seal.hash, hash.Value<Sha256Digest>());
  checkpoint.first_number = previous ? previous->seal.number + 1 : 1;
  checkpoint.removed_rows = checkpoint.seal.number - checkpoint.first_number + 1;
  checkpoint.made_by = actor;
  RETURN_IF_ERROR(SignCheckpoint(authority, checkpoint));
  return checkpoint;
}

absl::Status Remove(Connection& connection, const AuditCheckpoint& checkpoint) {
  static constexpr Statement kRetire = {"audit_retire", "SELECT audit_retire($1)"};
  // Sealers read the chain and then the rows, in the other order than the removal locks them.
  RETURN_IF_ERROR(LockSealing(connection));
  const absl::StatusOr<Result> result = connection.Execute(kRetire, Parameters().Time(checkpoint.retired_before));
  if (absl::IsDeadlineExceeded(result.status())) {
    return Annotate(result.status(), "nothing was retired, because the audit log is being read: try again");
  }
  RETURN_IF_ERROR(result.status());
  ASSIGN_OR_RETURN(const int64_t removed, result->Value<int64_t>());
  if (removed != checkpoint.removed_rows) {
    return DataLoss("nothing was retired: the chain has {} audit rows before {}, but the log has {}",
                    checkpoint.removed_rows, TimeTextSeconds(checkpoint.retired_before), removed);
  }
  return absl::OkStatus();
}

absl::Status AppendRetireAudit(Connection& connection, const AuditRetentionRequest& request,
                               const AuditCheckpoint& checkpoint) {
  AuditEvent event{.cluster_id = request.cluster_id, .actor = request.actor, .action = "audit.retire"};
  event.subject = fmt::format("audit rows before {}", TimeTextSeconds(checkpoint.retired_before));
  event.detail = {{"rows", fmt::format("{}", checkpoint.removed_rows)},
                  {"first_number", fmt::format("{}", checkpoint.first_number)},
                  {"last_number", fmt::format("{}", checkpoint.seal.number)},
                  {"last_hash", ToHex(checkpoint.seal.hash)}};
  return AppendAudit(connection, event);
}

}  // namespace

absl::StatusOr<AuditCheckpoint> RetireAuditRows(Connection& connection, const std::string& seal_file,
                                                const IdentityAuthority& authority,
                                                const AuditRetentionRequest& request, const VerifyProgress& progress) {
  static constexpr Statement kLock = {"audit_retire_lock", "SELECT pg_advisory_xact_lock($1)"};
  static constexpr Statement kNow = {"audit_retire_now", "SELECT now()"};
  // Each statement sees what was committed before it, so that nothing arrives unseen between check and removal.
  return RunInTransaction(connection, {}, [&](Connection& transaction) -> absl::StatusOr<AuditCheckpoint> {
    // 1. Which months.
    RETURN_IF_ERROR(transaction.Execute(kLock, Parameters().Int64(kRetireLock)).status());
    ASSIGN_OR_RETURN(const Result clock, transaction.Execute(kNow));
    ASSIGN_OR_RETURN(const absl::Time now, clock.Value<absl::Time>());
    const absl::CivilMonth month = MonthOf(request.before);
    const absl::CivilMonth first_kept = MonthOf(now) - 1;
    if (month > first_kept) {
      return FailedPrecondition(
          "nothing was retired: the current and the previous month are kept; the latest time to retire before is {}",
          TimeTextSeconds(BeginningOf(first_kept)));
    }
    RETURN_IF_ERROR(CheckNothingWaits(transaction, BeginningOf(month)));
    ASSIGN_OR_RETURN(const Cut cut, FindCut(transaction, month));

    // 2. Nothing that was tampered with is swept away.
    ASSIGN_OR_RETURN(
        const AuditVerification report,
        VerifyAuditChainUpTo(transaction, seal_file, authority.certificate(), cut.last_number, cut.before, progress));
    if (!report.intact()) {
      return FailedPrecondition("nothing was retired: {}; run `trustctl audit verify`", report.findings.front());
    }

    // 3. The checkpoint first, then the removal.
    ASSIGN_OR_RETURN(const AuditCheckpoint checkpoint, MakeCheckpoint(transaction, authority, cut, now, request.actor));
    RETURN_IF_ERROR(InsertCheckpoint(transaction, checkpoint));
    RETURN_IF_ERROR(Remove(transaction, checkpoint));
    RETURN_IF_ERROR(AppendRetireAudit(transaction, request, checkpoint));
    return checkpoint;
  });
}

}  // namespace trustline
