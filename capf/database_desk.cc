#include "capf/database_desk.h"

#include <utility>
#include <vector>

#include "capf/admitter.h"
#include "common/postgres/sql_error.h"
#include "common/postgres/transaction.h"
#include "common/service/json.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

constexpr size_t kClaimSize = 16;
// The session itself ends before its lease is not renewed any more.
constexpr absl::Duration kClaimMargin = absl::Minutes(1);
constexpr size_t kMaxReason = 300;

constexpr char kReplayableMetric[] = "trustline_capf_replayable_proofs_total";
constexpr char kReplayableHelp[] = "Proofs by certificate that do not cover the session, so that they can be recorded";

// PostgreSQL's lock_not_available.
constexpr std::string_view kLockTimeout = "55P03";

bool IsClaimLost(const absl::Status& status) { return absl::IsAborted(status) && SqlStateOf(status).empty(); }

// The same in a session that asks twice for the same key, and in no other.
std::string RequestId(const OperationClaim& claim, std::string_view public_key) {
  const Sha256Digest digest = Sha256(AsBytes(public_key));
  constexpr size_t kDigestPart = 8;  // with the claim within cad's limit of 64 characters
  return fmt::format("capf-{}-{}", ToHex(AsBytes(claim.claim)), ToHex(ByteView(digest).first(kDigestPart)));
}

}  // namespace

DatabaseDesk::DatabaseDesk(DatabaseDeskOptions options, const DatabaseDeskParts& parts)
    : options_(std::move(options)),
      parts_(parts),
      replayable_(parts.metrics.GetCounter(kReplayableMetric, kReplayableHelp, {{"cluster", options_.cluster}})) {}

absl::StatusOr<int32_t> DatabaseDesk::ClusterId() {
  static constexpr Statement kFind = {"find_cluster_of_desk", "SELECT cluster_id FROM cluster WHERE name = $1"};
  if (const int32_t known = cluster_id_; known != 0) return known;
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const Result found, lease->Execute(kFind, Parameters().Text(options_.cluster)));
  if (found.empty()) {
    return NotFound(
        "cluster '{0}' does not exist; make it with 'trustctl cluster add {0}', or remove its listener from the "
        "configuration",
        options_.cluster);
  }
  ASSIGN_OR_RETURN(const int32_t id, found.Value<int32_t>());
  cluster_id_ = id;
  return id;
}

AuditEvent DatabaseDesk::EventOf(int32_t cluster_id, const OperationClaim& claim, AuditOutcome outcome,
                                 Detail detail) const {
  return {.cluster_id = cluster_id,
          .actor = options_.actor,
          .action = fmt::format("capf.{}", CapfOperationName(claim.operation)),
          .subject = claim.device,
          .outcome = outcome,
          .detail = std::move(detail)};
}

absl::StatusOr<Admission> DatabaseDesk::Admit(const CapfElements& response, uint32_t session_id,
                                              std::string_view address) {
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  const AdmitterIdentity identity = {.cluster_id = cluster_id, .node = options_.node, .actor = options_.actor};
  const SecretBytes claim = SecretBytes::Random(kClaimSize);
  const absl::Time now = parts_.clock.Now();
  const AdmissionRequest request = {.response = response,
                                    .session_id = session_id,
                                    .address = address,
                                    .claim = claim.ExposeSecret(),
                                    .session_until = now + kSessionLease,
                                    .now = now,
                                    .was_told =
                                        [this](int64_t operation_id) {
                                          const std::lock_guard lock(told_mutex_);
                                          return told_.contains(operation_id);
                                        },
                                    .is_being_told =
                                        [this](int64_t operation_id) {
                                          const std::lock_guard lock(told_mutex_);
                                          return being_told_.contains(operation_id);
                                        },
                                    .is_within_rate = [this] { return parts_.rate.Admits(parts_.clock.Now()); }};
  absl::StatusOr<AdmissionDecision> decision = RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
    return Admitter(connection, identity, parts_.strings, crls_, request).Decide();
  });
  if (SqlStateOf(decision.status()) == kLockTimeout) {
    return Admission{.verdict = Admission::Verdict::kBusy, .reason = "somebody else is changing its operation"};
  }
  RETURN_IF_ERROR(decision.status());
  if (decision->denial) parts_.audit.AppendDenial(*std::move(decision->denial), address);
  if (decision->has_replayable_proof) replayable_.Add();
  if (decision->told_operation != 0) {
    const std::lock_guard lock(told_mutex_);
    told_.insert(decision->told_operation);
  }
  if (decision->admission.verdict == Admission::Verdict::kAdmitted) {
    leases_.Add(decision->admission.claim, now + options_.longest_session + kClaimMargin);
  }
  return std::move(decision->admission);
}

absl::StatusOr<bool> DatabaseDesk::IsRefusal(const absl::Status& status, const OperationClaim& claim) {
  static constexpr Statement kIsInService = {
      "is_device_still_in_service",
      "SELECT EXISTS (SELECT FROM device WHERE cluster_id = $1 AND name = $2 AND state = 'in service')"};
  if (absl::IsInvalidArgument(status) || absl::IsAlreadyExists(status) || absl::IsNotFound(status)) return true;
  if (!absl::IsFailedPrecondition(status)) return false;
  // It is the device that stands in the way, or an authority, which an administrator puts right.
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const Result result,
                   lease->Execute(kIsInService, Parameters().Int64(cluster_id).Text(claim.device)));
  ASSIGN_OR_RETURN(const bool is_in_service, result.Value<bool>());
  return !is_in_service;
}

absl::StatusOr<std::string> DatabaseDesk::Issue(const OperationClaim& claim, std::string_view public_key) {
  // 1. The certificate.
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  absl::StatusOr<IssuedForDevice> issued =
      parts_.cad.IssueForKey(options_.cluster, claim.device, public_key, RequestId(claim, public_key));
  if (!issued.ok()) {
    ASSIGN_OR_RETURN(const bool is_refusal, IsRefusal(issued.status(), claim));
    if (is_refusal) {
      const absl::Status failed = Fail(claim, StatusMessage(issued.status()));
      // An operation ends with its device.
      if (!IsClaimLost(failed)) RETURN_IF_ERROR(failed);
      return InvalidArgument("{}", issued.status().message());
    }
    // To the session this is no refusal, whatever code it has.
    if (absl::IsFailedPrecondition(issued.status())) return Unavailable("{}", issued.status().message());
    return issued.status();
  }

  // 2. On record before the phone has it, so that its acknowledgement says of which; if the operation is still this
  // session's.
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  const absl::Status recorded =
      OperationProgress(*lease, cluster_id).SetIssuance(claim.operation_id, claim.claim, issued->issuance_id);
  if (IsClaimLost(recorded)) {
    // Another session has the operation now, and nobody will ever acknowledge this one.
    parts_.cad.Revoke(options_.cluster, issued->serial).IgnoreError();
  }
  RETURN_IF_ERROR(recorded);
  return std::move(issued->der);
}

absl::Status DatabaseDesk::Ended(const OperationClaim& claim, absl::Status status) {
  if (status.ok() || IsClaimLost(status)) leases_.Remove(claim);
  return status;
}

absl::StatusOr<OperationRecord> DatabaseDesk::Succeed(const OperationClaim& claim, const Extra& extra) {
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  const absl::Time now = parts_.clock.Now();
  const auto succeed = [&](Connection& connection) -> absl::StatusOr<OperationRecord> {
    ASSIGN_OR_RETURN(OperationRecord record,
                     OperationProgress(connection, cluster_id).Succeed(claim.operation_id, claim.claim, now));
    Detail detail = {{"operation", fmt::format("{}", record.id)}, {"address", record.session_address}};
    RETURN_IF_ERROR(extra(connection, record, detail));
    RETURN_IF_ERROR(AppendAudit(connection, EventOf(cluster_id, claim, AuditOutcome::kDone, std::move(detail))));
    return record;
  };
  {
    // Before anybody else can see that the string is used up.
    const std::lock_guard lock(told_mutex_);
    being_told_.insert(claim.operation_id);
  }
  absl::StatusOr<OperationRecord> record = RunInTransaction(parts_.pool, {}, succeed);
  if (!record.ok()) LeftUntold(claim);
  RETURN_IF_ERROR(Ended(claim, record.status()));
  return record;
}

void DatabaseDesk::Settle(const OperationRecord& record, UnsettledOperation::Kind kind) {
  const absl::Status settled = parts_.settlement.Settle({.cluster_id = cluster_id_,
                                                         .cluster = options_.cluster,
                                                         .operation_id = record.id,
                                                         .device = record.device,
                                                         .kind = kind,
                                                         .issuance_id = record.issuance_id});
  if (settled.ok()) return;
  parts_.log.Warning("CAPF_CAD_TOLD_LATER", "cad could not be told what became of an operation: it is tried again",
                     {{"device", record.device}, {"reason", settled}});
}

absl::Status DatabaseDesk::Acknowledge(const OperationClaim& claim) {
  const auto extra = [](Connection&, const OperationRecord& record, Detail& detail) {
    if (record.issuance_id == 0) return Internal("{} acknowledged a certificate that it was not given", record.device);
    detail.emplace_back("issuance", fmt::format("{}", record.issuance_id));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const OperationRecord record, Succeed(claim, extra));
  Settle(record, UnsettledOperation::Kind::kConfirm);
  return absl::OkStatus();
}

void DatabaseDesk::Told(const OperationClaim& claim) {
  const std::lock_guard lock(told_mutex_);
  told_.insert(claim.operation_id);
  being_told_.erase(claim.operation_id);
}

void DatabaseDesk::LeftUntold(const OperationClaim& claim) {
  const std::lock_guard lock(told_mutex_);
  being_told_.erase(claim.operation_id);
}

absl::Status DatabaseDesk::RecordTold(Pool& pool) {
  static constexpr Statement kTold = {
      "operations_told", "UPDATE capf_operation SET end_told = true WHERE cluster_id = $1 AND operation_id = ANY($2)"};
  std::vector<int64_t> told;
  {
    const std::lock_guard lock(told_mutex_);
    told.assign(told_.begin(), told_.end());
  }
  if (told.empty()) return absl::OkStatus();
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool.Acquire());
    RETURN_IF_ERROR(lease->Execute(kTold, Parameters().Int64(cluster_id_).Int64Array(told)).status());
  }
  const std::lock_guard lock(told_mutex_);
  for (const int64_t operation_id : told) told_.erase(operation_id);
  return absl::OkStatus();
}

absl::Status DatabaseDesk::StoreFetched(const OperationClaim& claim, const CapfCertificate& certificate) {
  static constexpr Statement kStore = {
      "store_fetched_certificate",
      "INSERT INTO capf_fetched_certificate (cluster_id, device, type, der, sha256, operation_id, fetched_at) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (cluster_id, device, type) DO UPDATE SET der = excluded.der, "
      "sha256 = excluded.sha256, operation_id = excluded.operation_id, fetched_at = excluded.fetched_at"};
  const absl::StatusOr<Certificate> parsed = Certificate::FromDer(AsBytes(certificate.der));
  if (!parsed.ok()) {
    const absl::Status refusal =
        Annotate(InvalidArgument("{}", parsed.status().message()), "what it sent is no certificate");
    RETURN_IF_ERROR(Fail(claim, StatusMessage(refusal)));
    return refusal;
  }
  const std::string_view type = certificate.type == CapfCertificateType::kMic ? "MIC" : "LSC";
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  const auto extra = [&](Connection& connection, const OperationRecord& record, Detail& detail) {
    detail.emplace_back("type", type);
    detail.emplace_back("sha256", ToHex(parsed->sha256()));
    return connection
        .Execute(kStore, Parameters()
                             .Int64(cluster_id)
                             .Text(record.device)
                             .Text(type)
                             .Bytes(parsed->der())
                             .Bytes(parsed->sha256())
                             .Int64(record.id)
                             .Time(record.ended_at))
        .status();
  };
  return Succeed(claim, extra).status();
}

absl::Status DatabaseDesk::Deleted(const OperationClaim& claim) {
  ASSIGN_OR_RETURN(const OperationRecord record,
                   Succeed(claim, [](Connection&, const OperationRecord&, Detail&) { return absl::OkStatus(); }));
  Settle(record, UnsettledOperation::Kind::kRevoke);
  return absl::OkStatus();
}

absl::Status DatabaseDesk::Fail(const OperationClaim& claim, std::string_view reason) {
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  const absl::Time now = parts_.clock.Now();
  // It may be the phone's own words.
  const std::string words = PrintableText(reason, kMaxReason);
  const auto fail = [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const OperationRecord record,
                     OperationProgress(connection, cluster_id).Fail(claim.operation_id, claim.claim, words, now));
    return AppendAudit(
        connection,
        EventOf(cluster_id, claim, AuditOutcome::kFailed,
                {{"reason", words}, {"operation", fmt::format("{}", record.id)}, {"address", record.session_address}}));
  };
  return Ended(claim, RunInTransaction(parts_.pool, {}, fail));
}

absl::Status DatabaseDesk::Release(const OperationClaim& claim) {
  // Whatever the database says to it: the session is over.
  leases_.Remove(claim);
  ASSIGN_OR_RETURN(const int32_t cluster_id, ClusterId());
  const absl::Time now = parts_.clock.Now();
  const absl::Status released = RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    OperationProgress progress(connection, cluster_id);
    ASSIGN_OR_RETURN(const OperationRecord record, progress.Release(claim.operation_id, claim.claim));
    if (record.deadline > now) return absl::OkStatus();
    return progress.Expire(record, options_.actor, now);
  });
  // The operation is another's, or has ended.
  return IsClaimLost(released) ? absl::OkStatus() : released;
}

}  // namespace trustline
