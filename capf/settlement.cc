#include "capf/settlement.h"

#include <vector>

#include "common/status/status.h"

namespace trustline {
namespace {

// A request that is open may still become a certificate.
constexpr Statement kIssuedBefore = {
    "certificates_to_revoke",
    "SELECT encode(serial, 'hex'), state = 'intent' FROM (SELECT issuance_id, serial, state, not_after, requested_by "
    " FROM issuance WHERE cluster_id = $1 AND device = $2 OFFSET 0) of_device WHERE issuance_id <= $3 "
    "AND (state = 'intent' OR (state IN ('signed', 'delivered', 'confirmed') AND not_after > $4)) "
    "AND ($5 OR (state <> 'confirmed' AND requested_by LIKE 'trustline:%/capfd/%')) ORDER BY issuance_id"};
constexpr Statement kSettled = {"operation_settled",
                                // Not waited for: what a crash undoes is told again.
                                "UPDATE capf_operation SET unsettled = NULL WHERE cluster_id = $1 "
                                "AND operation_id = $2 RETURNING set_config('synchronous_commit', 'off', true)"};

}  // namespace

absl::Status Settlement::Settle(const UnsettledOperation& operation) {
  if (operation.issuance_id != 0) {
    RETURN_IF_ERROR(operation.kind == UnsettledOperation::Kind::kConfirm ? Confirm(operation) : Revoke(operation));
  }
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  return lease->Execute(kSettled, Parameters().Int64(operation.cluster_id).Int64(operation.operation_id)).status();
}

absl::Status Settlement::Confirm(const UnsettledOperation& operation) {
  const absl::Status confirmed = cad_.Confirm(operation.cluster, operation.issuance_id);
  // It was revoked or its record removed meanwhile, which no repetition changes.
  if (absl::IsFailedPrecondition(confirmed) || absl::IsNotFound(confirmed)) {
    log_.Warning("CAPF_CONFIRMATION_REFUSED", "a device acknowledged a certificate that is not in force any more",
                 {{"device", operation.device}, {"reason", confirmed}});
    return absl::OkStatus();
  }
  return confirmed;
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
                                                       .Bool(operation.kind == UnsettledOperation::Kind::kRevoke)));
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
