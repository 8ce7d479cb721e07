#include "ca/revocation/revocation.h"

#include <optional>

#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kRevokeSerial = {
    "revoke_serial",
    "UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE cluster_id = $1 AND serial = $2 AND state IN ('signed', 'delivered', 'confirmed') "
    "RETURNING issuance_id, device, encode(serial, 'hex'), public_key_sha256"};
constexpr Statement kBlockKey = {
    "block_compromised_key",
    "INSERT INTO blocked_key (public_key_sha256, source, added_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"};
constexpr Statement kFindSerial = {"find_serial",
                                   "SELECT issuance_id, state FROM issuance WHERE cluster_id = $1 AND serial = $2"};
constexpr Statement kRevokeDevice = {
    "revoke_device",
    "UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE cluster_id = $1 AND device = $2 AND state IN ('signed', 'delivered', 'confirmed') AND not_after > now() "
    "RETURNING issuance_id, device, encode(serial, 'hex')"};
constexpr Statement kAbandonOpen = {
    "abandon_open_intent",
    "UPDATE issuance SET state = 'abandoned', abandoned_at = now(), abandoned_because = $3 "
    "WHERE cluster_id = $1 AND device = $2 AND state = 'intent'"};
constexpr Statement kRevokeUnacknowledged = {
    "revoke_unacknowledged",
    "UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE cluster_id = $1 AND device = $2 AND issuance_id < $5 AND state IN ('signed', 'delivered') "
    "AND not_after > now() RETURNING issuance_id, device, encode(serial, 'hex')"};

}  // namespace

absl::Status Revoker::Audit(std::string_view device, std::string_view serial, RevocationReason reason,
                            std::string_view because) {
  AuditEvent event = {
      .cluster_id = caller_.cluster_id,
      .actor = caller_.actor,
      .action = "lsc.revoke",
      .subject = std::string(device),
      .detail = {{"serial", std::string(serial)}, {"reason", std::string(RevocationReasonName(reason))}}};
  if (!because.empty()) event.detail.emplace_back("because", because);
  return AppendAudit(connection_, event);
}

absl::Status Revoker::BlockKey(std::string_view public_key_sha256) {
  // Other clusters read it too: it says nothing of this one.
  constexpr std::string_view kSource = "revoked as compromised";
  return connection_
      .Execute(kBlockKey, Parameters().Bytes(AsBytes(public_key_sha256)).Text(kSource).Text(caller_.actor))
      .status();
}

absl::StatusOr<Revocation> Revoker::Revoke(ByteView serial, RevocationReason reason) {
  ASSIGN_OR_RETURN(const Result revoked, connection_.Execute(kRevokeSerial, Parameters()
                                                                                .Int64(caller_.cluster_id)
                                                                                .Bytes(serial)
                                                                                .Int64(static_cast<int64_t>(reason))
                                                                                .Text(caller_.actor)));
  Revocation revocation;
  for (const Row row : revoked) {
    std::string device, serial_hex, public_key_sha256;
    RETURN_IF_ERROR(row.Scan(revocation.issuance_id, device, serial_hex, public_key_sha256));
    RETURN_IF_ERROR(Audit(device, serial_hex, reason, ""));
    if (reason == RevocationReason::kKeyCompromise) {
      RETURN_IF_ERROR(BlockKey(public_key_sha256));
    }
    revocation.changed = true;
  }
  if (revocation.changed) return revocation;
  ASSIGN_OR_RETURN(const Result found,
                   connection_.Execute(kFindSerial, Parameters().Int64(caller_.cluster_id).Bytes(serial)));
  for (const Row row : found) {
    std::string state;
    RETURN_IF_ERROR(row.Scan(revocation.issuance_id, state));
    if (state == "revoked") return revocation;
  }
  return NotFound("no certificate of cluster {} has the serial number {}: see `trustctl lsc list`", caller_.cluster,
                  ToHex(serial));
}

absl::StatusOr<int64_t> Revoker::RevokeAllOf(std::string_view device, RevocationReason reason,
                                             std::string_view because) {
  RETURN_IF_ERROR(
      connection_.Execute(kAbandonOpen, Parameters().Int64(caller_.cluster_id).Text(device).Text(because)).status());
  ASSIGN_OR_RETURN(
      const Result revoked,
      connection_.Execute(
          kRevokeDevice,
          Parameters().Int64(caller_.cluster_id).Text(device).Int64(static_cast<int64_t>(reason)).Text(caller_.actor)));
  for (const Row row : revoked) {
    ASSIGN_OR_RETURN(const std::string serial, row.Get<std::string>(2));
    RETURN_IF_ERROR(Audit(device, serial, reason, because));
  }
  return revoked.rows();
}

absl::StatusOr<int64_t> Revoker::RevokeUnacknowledged(std::string_view device, int64_t before) {
  constexpr auto kReason = RevocationReason::kSuperseded;
  ASSIGN_OR_RETURN(const Result revoked,
                   connection_.Execute(kRevokeUnacknowledged, Parameters()
                                                                  .Int64(caller_.cluster_id)
                                                                  .Text(device)
                                                                  .Int64(static_cast<int64_t>(kReason))
                                                                  .Text(caller_.actor)
                                                                  .Int64(before)));
  for (const Row row : revoked) {
    ASSIGN_OR_RETURN(const std::string serial, row.Get<std::string>(2));
    RETURN_IF_ERROR(Audit(device, serial, kReason, "never acknowledged, and a newer one was"));
  }
  return revoked.rows();
}

}  // namespace trustline
