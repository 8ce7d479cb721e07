#include "ca/revocation/revocation.h"

#include <optional>
#include <vector>

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
// As who issues for the key has it (IssuanceStore::LockDeviceAndKey): what is begun is seen here, or sees the block.
constexpr Statement kLockKey = {"lock_key",
                                "SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))::text"};
constexpr Statement kRevokeKey = {
    "revoke_key",
    "UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE cluster_id = $1 AND public_key_sha256 = $2 AND state IN ('signed', 'delivered', 'confirmed') "
    "RETURNING device, encode(serial, 'hex')"};
constexpr Statement kAbandonKey = {
    "abandon_key",
    "UPDATE issuance SET state = 'abandoned', abandoned_at = now(), abandoned_because = 'its key is compromised' "
    "WHERE cluster_id = $1 AND public_key_sha256 = $2 AND state = 'intent'"};
constexpr Statement kFindSerial = {
    "find_serial", "SELECT issuance_id, state, public_key_sha256 FROM issuance WHERE cluster_id = $1 AND serial = $2"};
constexpr Statement kRevokeDevice = {
    "revoke_device",
    "UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE cluster_id = $1 AND device = $2 AND state IN ('signed', 'delivered', 'confirmed') AND not_after > now() "
    "RETURNING issuance_id, device, encode(serial, 'hex')"};
constexpr Statement kAbandonOpen = {
    "abandon_open_intent",
    "UPDATE issuance SET state = 'abandoned', abandoned_at = now(), abandoned_because = $3 "
    "WHERE cluster_id = $1 AND device = $2 AND state = 'intent'"};
// Mostly there are none. OFFSET 0: each device's are looked up by the device, however few rows the planner believes the
// table to have.
constexpr Statement kFindReplaced = {
    "find_replaced",
    "SELECT older.issuance_id FROM unnest($2::text[], $3::bigint[]) AS acknowledged (device, issuance_id) CROSS JOIN "
    "LATERAL (SELECT issuance_id, state, not_after FROM issuance WHERE cluster_id = $1 AND device = "
    "acknowledged.device "
    " OFFSET 0) older WHERE older.issuance_id < acknowledged.issuance_id AND older.not_after > now() "
    "AND older.state IN ('signed', 'delivered', 'confirmed')"};
constexpr Statement kRevokeReplaced = {
    "revoke_replaced",
    "UPDATE issuance i SET state = 'revoked', revoked_at = now(), revocation_reason = $3, revoked_by = $4 "
    "WHERE i.cluster_id = $1 AND i.issuance_id = ANY($2) AND i.not_after > now() "
    "AND (i.state IN ('signed', 'delivered') OR (i.state = 'confirmed' AND EXISTS (SELECT FROM ca_authority a "
    "WHERE a.cluster_id = i.cluster_id AND a.authority_id = i.authority_id AND a.state = 'tainted'))) "
    "RETURNING i.device, i.confirmed_at IS NOT NULL, encode(i.serial, 'hex')"};
constexpr Statement kRevokeSuperseded = {
    "revoke_superseded",
    "UPDATE issuance i SET state = 'revoked', revoked_at = now(), revocation_reason = $4, revoked_by = $5 "
    "WHERE i.cluster_id = $1 AND i.authority_id = $2 AND i.issuance_id = ANY($3) "
    "AND i.state IN ('signed', 'delivered', 'confirmed') AND i.not_after > now() AND EXISTS (SELECT FROM issuance n "
    "WHERE n.cluster_id = i.cluster_id AND n.device = i.device AND n.issuance_id > i.issuance_id "
    "AND n.authority_id <> i.authority_id AND n.state = 'confirmed' AND n.not_after > now()) "
    "RETURNING i.device, encode(i.serial, 'hex')"};

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

absl::StatusOr<int64_t> Revoker::BlockKey(std::string_view public_key_sha256) {
  constexpr auto kReason = RevocationReason::kKeyCompromise;
  // Other clusters read it too: it says nothing of this one.
  constexpr std::string_view kSource = "revoked as compromised";
  const ByteView key = AsBytes(public_key_sha256);
  RETURN_IF_ERROR(connection_.Execute(kLockKey, Parameters().Bytes(key)).status());
  RETURN_IF_ERROR(connection_.Execute(kBlockKey, Parameters().Bytes(key).Text(kSource).Text(caller_.actor)).status());
  RETURN_IF_ERROR(connection_.Execute(kAbandonKey, Parameters().Int64(caller_.cluster_id).Bytes(key)).status());
  ASSIGN_OR_RETURN(
      const Result others,
      connection_.Execute(
          kRevokeKey,
          Parameters().Int64(caller_.cluster_id).Bytes(key).Int64(static_cast<int64_t>(kReason)).Text(caller_.actor)));
  for (const Row row : others) {
    std::string device, serial;
    RETURN_IF_ERROR(row.Scan(device, serial));
    RETURN_IF_ERROR(Audit(device, serial, kReason, "another certificate for its key was revoked as compromised"));
  }
  return others.rows();
}

absl::StatusOr<Revocation> Revoker::Revoke(ByteView serial, RevocationReason reason) {
  ASSIGN_OR_RETURN(const Result revoked, connection_.Execute(kRevokeSerial, Parameters()
                                                                                .Int64(caller_.cluster_id)
                                                                                .Bytes(serial)
                                                                                .Int64(static_cast<int64_t>(reason))
                                                                                .Text(caller_.actor)));
  Revocation revocation;
  bool is_known = false;
  std::vector<std::string> compromised;
  for (const Row row : revoked) {
    std::string device, serial_hex, public_key_sha256;
    RETURN_IF_ERROR(row.Scan(revocation.issuance_id, device, serial_hex, public_key_sha256));
    RETURN_IF_ERROR(Audit(device, serial_hex, reason, ""));
    if (reason == RevocationReason::kKeyCompromise) compromised.push_back(std::move(public_key_sha256));
    revocation.changed = true;
  }
  if (!revocation.changed) {
    ASSIGN_OR_RETURN(const Result found,
                     connection_.Execute(kFindSerial, Parameters().Int64(caller_.cluster_id).Bytes(serial)));
    for (const Row row : found) {
      int64_t id = 0;
      std::string state, public_key_sha256;
      RETURN_IF_ERROR(row.Scan(id, state, public_key_sha256));
      if (state != "revoked") continue;
      is_known = true;
      revocation.issuance_id = id;
      if (reason == RevocationReason::kKeyCompromise) compromised.push_back(std::move(public_key_sha256));
    }
  }
  for (const std::string& key : compromised) {
    ASSIGN_OR_RETURN(const int64_t others, BlockKey(key));
    revocation.key_blocked = true;
    revocation.others += others;
  }
  if (revocation.changed || is_known) return revocation;
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

absl::StatusOr<int64_t> Revoker::RevokeReplaced(std::span<const DeviceIssuance> acknowledged) {
  constexpr auto kReason = RevocationReason::kSuperseded;
  std::vector<std::string> devices;
  std::vector<int64_t> issuances;
  for (const DeviceIssuance& issuance : acknowledged) {
    devices.push_back(issuance.device);
    issuances.push_back(issuance.issuance_id);
  }
  ASSIGN_OR_RETURN(const Result found,
                   connection_.Execute(
                       kFindReplaced, Parameters().Int64(caller_.cluster_id).TextArray(devices).Int64Array(issuances)));
  if (found.empty()) return 0;
  std::vector<int64_t> replaced;
  for (const Row row : found) {
    ASSIGN_OR_RETURN(replaced.emplace_back(), row.Get<int64_t>(0));
  }
  ASSIGN_OR_RETURN(const Result revoked, connection_.Execute(kRevokeReplaced, Parameters()
                                                                                  .Int64(caller_.cluster_id)
                                                                                  .Int64Array(replaced)
                                                                                  .Int64(static_cast<int64_t>(kReason))
                                                                                  .Text(caller_.actor)));
  for (const Row row : revoked) {
    bool was_acknowledged = false;
    std::string device, serial;
    RETURN_IF_ERROR(row.Scan(device, was_acknowledged, serial));
    RETURN_IF_ERROR(Audit(device, serial, kReason,
                          was_acknowledged ? "its authority is tainted, and a newer one was acknowledged"
                                           : "never acknowledged, and a newer one was"));
  }
  return revoked.rows();
}

absl::StatusOr<int64_t> Revoker::RevokeSuperseded(int32_t authority_id, std::span<const int64_t> issuances) {
  constexpr auto kReason = RevocationReason::kSuperseded;
  ASSIGN_OR_RETURN(const Result revoked,
                   connection_.Execute(kRevokeSuperseded, Parameters()
                                                              .Int64(caller_.cluster_id)
                                                              .Int64(authority_id)
                                                              .Int64Array(issuances)
                                                              .Int64(static_cast<int64_t>(kReason))
                                                              .Text(caller_.actor)));
  for (const Row row : revoked) {
    std::string device, serial;
    RETURN_IF_ERROR(row.Scan(device, serial));
    RETURN_IF_ERROR(Audit(device, serial, kReason, "another authority's newer one was acknowledged"));
  }
  return revoked.rows();
}

}  // namespace trustline
