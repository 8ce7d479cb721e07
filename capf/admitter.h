// Decides what becomes of a phone that has said who it is: whether it has proved it, and what is scheduled for it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/crl_cache.h"
#include "capf/device_certificate.h"
#include "capf/enrolment_desk.h"
#include "capf/enrolment_policy.h"
#include "capf/operation_record.h"
#include "common/postgres/connection.h"
#include "common/service/audit.h"
#include "common/x509/certificate.h"

namespace trustline {

// A session that is older gives way to a new one from the same address: the phone has begun anew.
inline constexpr absl::Duration kSessionPrecedence = absl::Seconds(10);

// So long a phone that was not told that it has succeeded may come again with the string that it has used.
inline constexpr absl::Duration kUntoldPatience = absl::Minutes(15);

// On whose behalf is decided.
struct AdmitterIdentity {
  int32_t cluster_id = 0;
  std::string node;   // of this system
  std::string actor;  // identity URI
};

struct AdmissionRequest {
  const CapfElements& response;
  uint32_t session_id = 0;
  std::string_view address;
  std::string_view claim;    // 16 random bytes
  absl::Time session_until;  // unless its lease is renewed
  absl::Time now;
  // Whether a device was told that this operation has succeeded, which may not be on record yet.
  std::function<bool(int64_t operation_id)> was_told;
  // Whether a session of this process has done this operation and is not over yet.
  std::function<bool(int64_t operation_id)> is_being_told;
  // Asked of a phone that has proved itself and would be admitted, before anything is written for it.
  std::function<bool()> is_within_rate;
};

struct AdmissionDecision {
  Admission admission;
  std::optional<AuditEvent> denial;  // to be audited once the transaction is over: it belongs to none
  bool has_replayable_proof = false;
  int64_t told_operation = 0;  // that has succeeded, and of which the phone is told now
};

// One decision, in a transaction that the caller owns and commits also when the phone is refused. What it borrows must
// outlive it. Wrong authentication strings, and what they lock and end, are audited in the transaction.
class Admitter {
 public:
  Admitter(Connection& transaction, const AdmitterIdentity& identity, const AuthenticationStrings& strings,
           CrlCache& crls, const AdmissionRequest& request)
      : connection_(transaction), identity_(identity), strings_(strings), crls_(crls), request_(request) {}

  // DeadlineExceeded when somebody else keeps the device's operation for seconds; FailedPrecondition when the strings
  // of the database are kept under another key.
  absl::StatusOr<AdmissionDecision> Decide();

 private:
  absl::StatusOr<bool> IsInService();
  // A reason why the phone has not proved itself; empty when it has.
  absl::StatusOr<std::string> CheckProof(const OperationRecord& operation);
  absl::StatusOr<std::string> CheckString(const OperationRecord& operation);
  absl::Status RecordWrongString(const OperationRecord& operation);
  struct CertificateProof {
    std::string refusal;
    CertificateOrigin origin = CertificateOrigin::kLsc;
  };
  absl::StatusOr<CertificateProof> CheckCertificates(const EnrolmentPolicy& policy);
  // `last`: the newest operation, which has ended.
  absl::StatusOr<AdmissionDecision> WithoutOperation(const std::optional<OperationRecord>& last);
  // The phone has done all it had to and was not told.
  bool WasLeftUntold(const OperationRecord& last) const;
  absl::StatusOr<AdmissionDecision> EnrolAgain(const EnrolmentPolicy& policy);
  absl::StatusOr<AdmissionDecision> Claim(const OperationRecord& operation);
  // After a claim, whose commit would not be waited for: of what is audited it is.
  absl::Status WaitForCommit();

  AdmissionDecision Decided(Admission::Verdict verdict, std::string reason);
  AdmissionDecision Refused(std::string reason);
  AdmissionDecision OverRate() { return Decided(Admission::Verdict::kOverRate, "too many enrolments in a second"); }
  AuditEvent Denial(std::string reason) const;
  absl::Status Audit(const char* action, AuditOutcome outcome, std::vector<std::pair<std::string, std::string>> detail);

  Connection& connection_;
  const AdmitterIdentity& identity_;
  const AuthenticationStrings& strings_;
  CrlCache& crls_;
  const AdmissionRequest& request_;

  std::string device_;
  std::optional<AuditEvent> denial_;
  bool has_replayable_proof_ = false;
  std::optional<Certificate> expired_certificate_;  // that proved the device all the same
};

}  // namespace trustline
