#include "ca/issuance/issuance_store.h"

#include <array>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<std::string_view, 6> kStateNames = {"intent",    "signed",    "delivered",
                                                         "confirmed", "abandoned", "revoked"};

// Two devices that bring the same key at the same time wait for each other at the second lock.
constexpr Statement kLockDevice = {
    "lock_device",
    "SELECT state, state_reason, coalesce(replaced_by, ''), pg_advisory_xact_lock(hashtextextended($3, 0))::text "
    "FROM device WHERE cluster_id = $1 AND name = $2 FOR NO KEY UPDATE"};
constexpr Statement kKeyUse = {
    "key_use",
    "SELECT (SELECT source FROM blocked_key WHERE public_key_sha256 = $3), "
    "(SELECT device FROM issuance WHERE cluster_id = $1 AND public_key_sha256 = $3 AND device <> $2 "
    " AND state <> 'abandoned' LIMIT 1), "
    "EXISTS (SELECT FROM ca_authority WHERE public_key_sha256 = $3), "
    "EXISTS (SELECT FROM ca_authority WHERE cluster_id = $1 AND authority_id = $4 AND state = 'active')"};
// OFFSET 0 keeps the planner from looking by state, as it does while it knows nothing of a young table.
constexpr Statement kFindEarlier = {
    "find_earlier",
    "SELECT issuance_id, authority_id, state, public_key_sha256, request_id, not_before, not_after FROM (SELECT * FROM "
    "issuance "
    "WHERE cluster_id = $1 AND device = $2 OFFSET 0) of_device WHERE state <> 'abandoned' AND (state = 'intent' "
    "OR (state IN ('signed', 'delivered', 'confirmed') AND not_after > now()) OR (request_id <> '' AND request_id = "
    "$3)) "
    "ORDER BY request_id <> '' AND request_id = $3 DESC, issuance_id DESC LIMIT 100"};
constexpr Statement kAbandon = {"abandon_intent",
                                "UPDATE issuance SET state = 'abandoned', abandoned_at = now(), abandoned_because = $3 "
                                "WHERE cluster_id = $1 AND issuance_id = $2 AND state = 'intent'"};
constexpr Statement kInsert = {
    "insert_intent",
    "WITH active AS (SELECT authority_id FROM ca_authority WHERE cluster_id = $1 AND authority_id = $2 "
    "AND state = 'active' FOR KEY SHARE) "
    "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
    "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, requested_by) "
    "SELECT $1, authority_id, $3, $4, 'intent', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM active "
    "RETURNING issuance_id"};
constexpr Statement kLoadIntent = {
    "load_intent",
    "SELECT authority_id, device, serial, public_key_info, not_before, not_after, crl_url, to_be_signed "
    "FROM issuance WHERE cluster_id = $1 AND issuance_id = $2 AND state = 'intent'"};
constexpr Statement kStore = {
    "store_certificate",
    "UPDATE issuance i SET state = 'signed', certificate = $3, sha256 = $4, signed_at = now() FROM ca_authority a "
    "WHERE i.cluster_id = $1 AND i.issuance_id = $2 AND i.state = 'intent' AND a.cluster_id = i.cluster_id AND "
    "a.authority_id = i.authority_id RETURNING " ISSUANCE_RECORD_COLUMNS};
// Rows are named by where they are: by their states, of which most come this way, they would be looked for among all
// that ever were in them.
constexpr Statement kAdvance = {
    "advance_issuances",
    "UPDATE issuance i SET state = $3, delivered_at = coalesce(delivered_at, now()), "
    "confirmed_at = CASE WHEN $3 = 'confirmed' THEN coalesce(confirmed_at, now()) ELSE confirmed_at END "
    "FROM unnest($2::bigint[]) AS wanted (issuance_id) CROSS JOIN LATERAL (SELECT ctid AS place FROM issuance "
    " WHERE cluster_id = $1 AND issuance_id = wanted.issuance_id FOR NO KEY UPDATE) locked, ca_authority a "
    "WHERE i.ctid = locked.place AND a.cluster_id = i.cluster_id AND a.authority_id = i.authority_id "
    "AND (i.state = 'signed' OR (i.state = 'delivered' AND $3 = 'confirmed')) RETURNING " ISSUANCE_RECORD_COLUMNS};
constexpr Statement kLoad = {"load_issuance", "SELECT " ISSUANCE_RECORD_COLUMNS
                                              " FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id) "
                                              "WHERE i.cluster_id = $1 AND i.issuance_id = $2"};
constexpr Statement kLoadCertificate = {
    "load_certificate",
    "SELECT certificate FROM issuance WHERE cluster_id = $1 AND issuance_id = $2 AND certificate IS NOT NULL"};

}  // namespace

std::string_view IssuanceStateName(IssuanceState state) { return kStateNames[static_cast<size_t>(state)]; }

absl::StatusOr<IssuanceState> ParseIssuanceState(std::string_view name) {
  for (size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == name) return static_cast<IssuanceState>(i);
  }
  return Internal("the database has an issuance in the state {}, which this version does not know", name);
}

absl::StatusOr<IssuanceRecord> ReadIssuanceRecord(const Row& row) {
  IssuanceRecord record;
  std::string state;
  RETURN_IF_ERROR(row.Scan(record.id, record.authority_id, record.device, state, record.serial, record.subject,
                           record.issuer, record.public_key, record.public_key_sha256, record.not_before,
                           record.not_after, record.sha256, record.requested_by, record.requested_at, record.signed_at,
                           record.delivered_at, record.confirmed_at, record.revoked_at, record.abandoned_because,
                           record.revocation_reason, record.revoked_by, record.first_crl_number));
  ASSIGN_OR_RETURN(record.state, ParseIssuanceState(state));
  return record;
}

absl::Status IssuanceStore::LockDeviceAndKey(const DeviceName& device, const Sha256Digest& public_key_sha256) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kLockDevice,
                          Parameters().Int64(cluster_id_).Text(device.text()).Text(ToHex(public_key_sha256))));
  if (result.empty()) {
    return NotFound("there is no device {} in this cluster: add it with `trustctl device add {}`", device.text(),
                    device.text());
  }
  std::string state, reason, replaced_by, locked;
  RETURN_IF_ERROR(result[0].Scan(state, reason, replaced_by, locked));
  if (state == "in service") return absl::OkStatus();
  if (state == "replaced") {
    return FailedPrecondition("{} was replaced by {}: certificates are issued for the new device", device.text(),
                              replaced_by);
  }
  return FailedPrecondition("{} is retired ({}): nothing is issued for it any more", device.text(), reason);
}

absl::StatusOr<KeyUse> IssuanceStore::FindKeyUse(const DeviceName& device, const Sha256Digest& public_key_sha256,
                                                 int32_t authority_id) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(
          kKeyUse, Parameters().Int64(cluster_id_).Text(device.text()).Bytes(public_key_sha256).Int64(authority_id)));
  KeyUse use;
  std::optional<std::string> source;
  RETURN_IF_ERROR(result[0].Scan(source, use.other_device, use.is_authority_key, use.authority_issues));
  use.blocked = source.has_value();
  use.blocked_source = source.value_or("");
  return use;
}

absl::StatusOr<std::vector<EarlierIssuance>> IssuanceStore::FindEarlier(const DeviceName& device,
                                                                        std::string_view request_id) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kFindEarlier, Parameters().Int64(cluster_id_).Text(device.text()).Text(request_id)));
  std::vector<EarlierIssuance> found;
  for (const Row row : result) {
    EarlierIssuance earlier;
    std::string state;
    RETURN_IF_ERROR(row.Scan(earlier.id, earlier.authority_id, state, earlier.public_key_sha256, earlier.request_id,
                             earlier.not_before, earlier.not_after));
    ASSIGN_OR_RETURN(earlier.state, ParseIssuanceState(state));
    found.push_back(std::move(earlier));
  }
  return found;
}

absl::Status IssuanceStore::Abandon(int64_t id, std::string_view because) {
  return connection_.Execute(kAbandon, Parameters().Int64(cluster_id_).Int64(id).Text(because)).status();
}

absl::StatusOr<std::optional<int64_t>> IssuanceStore::Insert(int32_t authority_id, const NewIntent& intent) {
  const LscContent& content = intent.content;
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kInsert, Parameters()
                                                                         .Int64(cluster_id_)
                                                                         .Int64(authority_id)
                                                                         .Text(content.device.text())
                                                                         .Text(intent.request_id)
                                                                         .Bytes(AsBytes(content.serial))
                                                                         .Text(intent.subject)
                                                                         .Text(intent.public_key)
                                                                         .Bytes(intent.public_key_sha256)
                                                                         .Bytes(AsBytes(content.public_key_info))
                                                                         .Time(content.not_before)
                                                                         .Time(content.not_after)
                                                                         .Text(content.crl_url)
                                                                         .Bytes(AsBytes(intent.to_be_signed))
                                                                         .Text(intent.requested_by)));
  if (result.empty()) return std::optional<int64_t>();
  ASSIGN_OR_RETURN(const int64_t id, result.Value<int64_t>());
  return std::optional<int64_t>(id);
}

absl::StatusOr<Intent> IssuanceStore::LoadIntent(int64_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLoadIntent, Parameters().Int64(cluster_id_).Int64(id)));
  if (result.empty()) return NotFound("issuance {} is not open", id);
  int32_t authority_id = 0;
  std::string device, serial, public_key_info, crl_url, to_be_signed;
  absl::Time not_before, not_after;
  RETURN_IF_ERROR(
      result[0].Scan(authority_id, device, serial, public_key_info, not_before, not_after, crl_url, to_be_signed));
  ASSIGN_OR_RETURN(DeviceName name, DeviceName::Parse(device));
  return Intent{.id = id,
                .cluster_id = cluster_id_,
                .authority_id = authority_id,
                .content = {.device = std::move(name),
                            .serial = std::move(serial),
                            .not_before = not_before,
                            .not_after = not_after,
                            .public_key_info = std::move(public_key_info),
                            .crl_url = std::move(crl_url)},
                .to_be_signed = std::move(to_be_signed)};
}

absl::StatusOr<std::optional<IssuanceRecord>> IssuanceStore::StoreCertificate(int64_t id,
                                                                              const Certificate& certificate) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(
          kStore, Parameters().Int64(cluster_id_).Int64(id).Bytes(certificate.der()).Bytes(certificate.sha256())));
  if (result.empty()) return std::nullopt;
  return ReadIssuanceRecord(result[0]);
}

absl::StatusOr<std::vector<IssuanceRecord>> IssuanceStore::Advance(std::span<const int64_t> ids, IssuanceState state) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kAdvance, Parameters().Int64(cluster_id_).Int64Array(ids).Text(IssuanceStateName(state))));
  std::vector<IssuanceRecord> advanced;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(advanced.emplace_back(), ReadIssuanceRecord(row));
  }
  return advanced;
}

absl::StatusOr<IssuanceRecord> IssuanceStore::Load(int64_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLoad, Parameters().Int64(cluster_id_).Int64(id)));
  if (result.empty()) return NotFound("there is no issuance {} in this cluster", id);
  return ReadIssuanceRecord(result[0]);
}

absl::StatusOr<std::string> IssuanceStore::LoadCertificate(int64_t id) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kLoadCertificate, Parameters().Int64(cluster_id_).Int64(id)));
  if (result.empty()) return NotFound("issuance {} has no certificate", id);
  return result.Value<std::string>();
}

}  // namespace trustline
