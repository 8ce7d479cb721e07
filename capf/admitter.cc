#include "capf/admitter.h"

#include <utility>

#include "capf/operation_progress.h"
#include "capf/operation_store.h"
#include "capf/proof.h"
#include "capf/string_key.h"
#include "capf/string_lockout.h"
#include "common/device/device_name.h"
#include "common/postgres/sql_error.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// For the phone that broke off and comes again; then the policy makes another operation.
constexpr absl::Duration kEnrolAgainTime = absl::Hours(24);
constexpr std::string_view kByPolicy = "the policy that a device with its manufacturer's certificate is enrolled again";

}  // namespace

AdmissionDecision Admitter::Decided(Admission::Verdict verdict, std::string reason) {
  return {.admission = {.verdict = verdict, .reason = std::move(reason)},
          .denial = std::move(denial_),
          .has_replayable_proof = has_replayable_proof_};
}

AdmissionDecision Admitter::Refused(std::string reason) {
  return Decided(Admission::Verdict::kRefused, std::move(reason));
}

absl::Status Admitter::Audit(const char* action, AuditOutcome outcome,
                             std::vector<std::pair<std::string, std::string>> detail) {
  return AppendAudit(connection_, {.cluster_id = identity_.cluster_id,
                                   .actor = identity_.actor,
                                   .action = action,
                                   .subject = device_,
                                   .outcome = outcome,
                                   .detail = std::move(detail)});
}

AuditEvent Admitter::Denial(std::string reason) const {
  return {.cluster_id = identity_.cluster_id,
          .actor = identity_.actor,
          .action = "capf.authenticate",
          .subject = device_,
          .outcome = AuditOutcome::kDenied,
          .detail = {{"reason", std::move(reason)}, {"address", std::string(request_.address)}}};
}

absl::StatusOr<AdmissionDecision> Admitter::Decide() {
  // 1. The device.
  const absl::StatusOr<DeviceName> name = DeviceName::Parse(request_.response.device_name.value_or(""));
  if (!name.ok()) {
    return Decided(Admission::Verdict::kUnknownDevice, std::string(StatusMessage(name.status())));
  }
  device_ = name->text();
  ASSIGN_OR_RETURN(const bool is_in_service, IsInService());
  if (!is_in_service) {
    return Decided(Admission::Verdict::kUnknownDevice,
                   "no device of this name is in service in the cluster: see `trustctl device show`");
  }

  // 2. What is scheduled for it. Until the transaction ends nobody else changes that.
  ASSIGN_OR_RETURN(const std::optional<OperationRecord> newest,
                   OperationStore(connection_, identity_.cluster_id).LockNewest(device_));
  if (!newest || !newest->is_open()) return WithoutOperation(newest);
  const bool is_running = newest->is_running(request_.now);
  if (!is_running && newest->deadline <= request_.now) {
    RETURN_IF_ERROR(
        OperationProgress(connection_, identity_.cluster_id).Expire(*newest, identity_.actor, request_.now));
    return WithoutOperation(std::nullopt);
  }

  // 3. The proof.
  ASSIGN_OR_RETURN(std::string refusal, CheckProof(*newest));
  if (!refusal.empty()) return Refused(std::move(refusal));

  // 4. Another session of the device.
  if (is_running) {
    const absl::Time started_at = newest->started_at.value_or(request_.now);
    // One from the future was begun before the clock was set back.
    const bool is_old = started_at + kSessionPrecedence < request_.now || started_at > request_.now;
    if (!is_old || newest->session_address != request_.address) {
      return Decided(Admission::Verdict::kBusy,
                     fmt::format("a session from {} works on its operation", newest->session_address));
    }
  }

  // 5. The rate, after everything for which a phone is sent away: only enrolments count.
  if (!request_.is_within_rate()) return OverRate();
  return Claim(*newest);
}

absl::StatusOr<bool> Admitter::IsInService() {
  // Who waits for an operation's lock keeps a connection from others.
  static constexpr Statement kIsInService = {
      "is_device_in_service",
      // OFFSET 0: by its name, and not among all that are in service.
      "SELECT EXISTS (SELECT FROM (SELECT state FROM device WHERE cluster_id = $1 AND name = $2 OFFSET 0) named "
      " WHERE state = 'in service'), "
      "set_config('lock_timeout', '200ms', true)"};
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kIsInService, Parameters().Int64(identity_.cluster_id).Text(device_)));
  return result.Value<bool>();
}

absl::StatusOr<AdmissionDecision> Admitter::Claim(const OperationRecord& operation) {
  RETURN_IF_ERROR(OperationProgress(connection_, identity_.cluster_id)
                      .Claim(operation,
                             {.claim = std::string(request_.claim),
                              .node = identity_.node,
                              .address = std::string(request_.address),
                              .until = request_.session_until},
                             request_.now));
  if (expired_certificate_) {
    RETURN_IF_ERROR(WaitForCommit());
    RETURN_IF_ERROR(Audit("capf.authenticate", AuditOutcome::kDone,
                          {{"because", "the policy lets a manufacturer's certificate be past its end"},
                           {"certificate", expired_certificate_->subject().ToText()},
                           {"sha256", ToHex(expired_certificate_->sha256())},
                           {"ended", TimeTextSeconds(expired_certificate_->not_after())},
                           {"address", std::string(request_.address)}}));
  }
  AdmissionDecision decision = Decided(Admission::Verdict::kAdmitted, "");
  OperationClaim& claim = decision.admission.claim;
  claim.operation_id = operation.id;
  claim.claim = request_.claim;
  claim.device = device_;
  claim.operation = operation.operation;
  if (operation.operation == CapfOperation::kInstall) claim.keys = KeyRequests(operation.keys);
  return decision;
}

absl::StatusOr<std::string> Admitter::CheckProof(const OperationRecord& operation) {
  switch (operation.authentication) {
    case EnrolmentAuthentication::kString:
      return CheckString(operation);
    case EnrolmentAuthentication::kNull:
      return "";
    case EnrolmentAuthentication::kCertificateLsc:
    case EnrolmentAuthentication::kCertificateMic: {
      ASSIGN_OR_RETURN(const EnrolmentPolicy policy, ReadEnrolmentPolicy(connection_, identity_.cluster_id));
      ASSIGN_OR_RETURN(CertificateProof proof, CheckCertificates(policy));
      return std::move(proof.refusal);
    }
  }
  return Internal("an operation asks for a proof that this version does not know");
}

absl::StatusOr<std::string> Admitter::CheckString(const OperationRecord& operation) {
  const std::optional<SecretBytes>& password = request_.response.password;
  // Somebody has yet to type it: no guess.
  if (!password || password->empty()) return "it sent no authentication string";
  RETURN_IF_ERROR(CheckStringKey(connection_, strings_, identity_.actor, StringKeyUse::kCompare));
  StringLockout lockout(connection_, identity_.cluster_id, device_, request_.address);
  ASSIGN_OR_RETURN(const bool is_locked, lockout.IsLocked(request_.now));
  if (is_locked) return "it is locked at its address after too many wrong authentication strings";
  if (operation.kept && strings_.Matches(*operation.kept, *password)) return "";
  RETURN_IF_ERROR(RecordWrongString(operation));
  return "its authentication string is wrong";
}

absl::Status Admitter::RecordWrongString(const OperationRecord& operation) {
  StringLockout lockout(connection_, identity_.cluster_id, device_, request_.address);
  ASSIGN_OR_RETURN(const bool is_locked, lockout.CountWrong(request_.now));
  ASSIGN_OR_RETURN(const int32_t wrong_strings,
                   OperationProgress(connection_, identity_.cluster_id).CountWrongString(operation, request_.now));
  const auto audit = [&](std::string reason) {
    return Audit("capf.authenticate", AuditOutcome::kDenied,
                 {{"reason", std::move(reason)},
                  {"address", std::string(request_.address)},
                  {"operation", fmt::format("{}", operation.id)},
                  {"wrong_strings", fmt::format("{}", wrong_strings)}});
  };
  RETURN_IF_ERROR(audit("the authentication string is wrong"));
  if (is_locked) {
    RETURN_IF_ERROR(
        audit(fmt::format("the device is locked at this address for {} after {} wrong authentication strings",
                          DurationText(kLockTime), kMostWrongStringsOfPair)));
  }
  if (wrong_strings >= kMostWrongStringsOfOperation) {
    RETURN_IF_ERROR(audit(fmt::format("the authentication string expired after {} wrong tries", wrong_strings)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Admitter::CertificateProof> Admitter::CheckCertificates(const EnrolmentPolicy& policy) {
  const auto refused = [this](std::string reason) {
    denial_ = Denial(reason);
    return CertificateProof{.refusal = std::move(reason)};
  };
  if (!request_.response.certificate) return CertificateProof{.refusal = "it showed no certificate"};

  // 1. Whoever speaks has the keys.
  const absl::StatusOr<ProvedCertificate> proved = CheckPossession(request_.response, request_.session_id);
  if (absl::IsPermissionDenied(proved.status()) || absl::IsInvalidArgument(proved.status())) {
    return refused(fmt::format("its proof by certificate is wrong: {}", proved.status().message()));
  }
  RETURN_IF_ERROR(proved.status());
  if (!proved->session_certificate && policy.require_sudi) {
    return refused("its proof does not cover the session, which the policy asks for");
  }

  // 2. The certificates prove this device.
  std::vector<Certificate> certificates = {proved->certificate};
  if (proved->session_certificate && *proved->session_certificate != proved->certificate) {
    certificates.push_back(*proved->session_certificate);
  }
  CertificateProof proof;
  for (const Certificate& certificate : certificates) {
    const absl::StatusOr<DeviceCertificate> judged = JudgeDeviceCertificate(
        connection_, crls_, identity_.cluster_id, certificate, device_, policy.allow_expired_mic, request_.now);
    if (absl::IsPermissionDenied(judged.status()) && SqlStateOf(judged.status()).empty()) {
      return refused(fmt::format("its certificate {} does not prove it: {}", certificate.subject().ToText(),
                                 judged.status().message()));
    }
    RETURN_IF_ERROR(judged.status());
    if (certificate == proved->certificate) proof.origin = judged->origin;
    if (judged->expired) expired_certificate_ = certificate;
  }
  has_replayable_proof_ = !proved->session_certificate.has_value();
  return proof;
}

bool Admitter::WasLeftUntold(const OperationRecord& last) const {
  const std::optional<SecretBytes>& password = request_.response.password;
  return last.state == OperationState::kSuccess && !last.end_is_told && !request_.was_told(last.id) &&
         last.ended_at.value_or(absl::InfinitePast()) + kUntoldPatience > request_.now && last.kept && password &&
         strings_.Matches(*last.kept, *password);
}

absl::StatusOr<AdmissionDecision> Admitter::WithoutOperation(const std::optional<OperationRecord>& last) {
  const std::optional<SecretBytes>& password = request_.response.password;
  if (last && last->kept && password && !password->empty()) {
    RETURN_IF_ERROR(CheckStringKey(connection_, strings_, identity_.actor, StringKeyUse::kCompare));
  }
  if (last && WasLeftUntold(*last)) {
    // The phone itself may be back before its broken session is known to be over; anybody else is refused then.
    if (request_.is_being_told(last->id)) {
      return Decided(Admission::Verdict::kBusy, "a session that has done what was scheduled for it is at its end");
    }
    AdmissionDecision decision =
        Decided(Admission::Verdict::kNothingScheduled,
                "it has done what was scheduled for it, and its session broke before it was told");
    decision.told_operation = last->id;
    return decision;
  }
  OperationStore store(connection_, identity_.cluster_id);
  if (password && !password->empty()) {
    ASSIGN_OR_RETURN(const bool has_used_string, store.HasUsedString(device_));
    if (has_used_string) {
      std::string reason = "its authentication string was used up or has expired, and nothing is scheduled for it";
      denial_ = Denial(reason);
      return Refused(std::move(reason));
    }
  }
  if (request_.response.certificate) {
    ASSIGN_OR_RETURN(const EnrolmentPolicy policy, ReadEnrolmentPolicy(connection_, identity_.cluster_id));
    if (policy.re_enrol_by_mic) return EnrolAgain(policy);
  }
  return Decided(Admission::Verdict::kNothingScheduled, "nothing is scheduled for it");
}

absl::StatusOr<AdmissionDecision> Admitter::EnrolAgain(const EnrolmentPolicy& policy) {
  // 1. The proof. One by a certificate of ours is good, but no reason to enrol anything.
  ASSIGN_OR_RETURN(CertificateProof proof, CheckCertificates(policy));
  if (!proof.refusal.empty()) return Refused(std::move(proof.refusal));
  if (proof.origin != CertificateOrigin::kManufacturer) {
    return Decided(Admission::Verdict::kNothingScheduled, "nothing is scheduled for it");
  }

  if (!request_.is_within_rate()) return OverRate();

  // 2. An operation, as if somebody had scheduled it.
  OperationStore store(connection_, identity_.cluster_id);
  const OperationOrder order = {.operation = CapfOperation::kInstall,
                                .authentication = EnrolmentAuthentication::kCertificateMic,
                                .keys = policy.keys,
                                .deadline = request_.now + kEnrolAgainTime,
                                .scheduled_by = identity_.actor};
  ASSIGN_OR_RETURN(const std::vector<ScheduledOperation> scheduled,
                   store.Schedule(order, {{.device = device_}}, request_.now));
  if (scheduled[0].operation_id == 0) return Decided(Admission::Verdict::kBusy, scheduled[0].refusal);
  RETURN_IF_ERROR(Audit("capf.schedule", AuditOutcome::kDone,
                        {{"operation", "install"},
                         {"authentication", std::string(EnrolmentAuthenticationName(order.authentication))},
                         {"key", KeyPlanText(order.keys)},
                         {"deadline", TimeTextSeconds(order.deadline)},
                         {"because", std::string(kByPolicy)}}));
  ASSIGN_OR_RETURN(const std::optional<OperationRecord> operation, store.LockNewest(device_));
  if (!operation) return Internal("the operation of {} that was just scheduled is not there", device_);
  ASSIGN_OR_RETURN(AdmissionDecision decision, Claim(*operation));
  RETURN_IF_ERROR(WaitForCommit());
  return decision;
}

absl::Status Admitter::WaitForCommit() { return connection_.Execute("SET LOCAL synchronous_commit = on").status(); }

}  // namespace trustline
