#include "ca/authority/authority_store.h"

#include <array>

#include "common/status/status.h"

namespace trustline {
namespace {

#define AUTHORITY_COLUMNS                                                                                   \
  "SELECT authority_id, state, key_name, public_key, subject, certificate, chain, created_by, created_at, " \
  "prepared_at, activated_at, tainted_at, retired_at FROM ca_authority WHERE cluster_id = $1 "
constexpr Statement kList = {"list_authorities", AUTHORITY_COLUMNS "ORDER BY authority_id"};
constexpr Statement kLoad = {"load_authority", AUTHORITY_COLUMNS "AND authority_id = $2"};
constexpr Statement kFindByKey = {"authority_by_key", AUTHORITY_COLUMNS "AND key_name = $2"};
constexpr Statement kActive = {"active_authority", AUTHORITY_COLUMNS "AND state = 'active'"};
// Stronger than the lock that every new issuance takes through its foreign key.
constexpr Statement kLock = {"lock_authority", AUTHORITY_COLUMNS "AND authority_id = $2 FOR UPDATE"};
#undef AUTHORITY_COLUMNS

// "CA" and the cluster: a number that nothing else locks.
constexpr Statement kLockAll = {"lock_authorities", "SELECT pg_advisory_xact_lock(17217, $1::int)::text"};
constexpr Statement kInsert = {
    "insert_authority",
    "INSERT INTO ca_authority (cluster_id, state, key_name, public_key_sha256, public_key, subject, created_by) "
    "VALUES ($1, 'requested', $2, $3, $4, $5, $6) RETURNING authority_id"};
constexpr Statement kSetCertificate = {
    "set_authority_certificate",
    "UPDATE ca_authority SET state = 'prepared', certificate = $3, chain = $4, subject = $5, not_before = $6, "
    "not_after = $7, prepared_at = now() WHERE cluster_id = $1 AND authority_id = $2 AND state = 'requested'"};
constexpr Statement kSetState = {
    "set_authority_state",
    "UPDATE ca_authority SET state = $3, activated_at = CASE WHEN $3 = 'active' THEN now() ELSE activated_at END, "
    "tainted_at = CASE WHEN $3 = 'tainted' THEN now() WHEN $3 = 'active' THEN NULL ELSE tainted_at END, "
    "retired_at = CASE WHEN $3 = 'retired' THEN now() ELSE retired_at END WHERE cluster_id = $1 AND authority_id = $2"};
constexpr Statement kDiscard = {
    "discard_authority",
    "DELETE FROM ca_authority WHERE cluster_id = $1 AND authority_id = $2 AND state = 'requested'"};
constexpr Statement kCrls = {"authority_crls",
                             "SELECT authority_id, crl_number, next_update, revoked_count FROM ca_crl WHERE cluster_id "
                             "= $1"};

// By index issuance_good.
#define DEPENDENT_CERTIFICATES                                                                           \
  "FROM issuance i JOIN device d ON d.cluster_id = i.cluster_id AND d.name = i.device "                  \
  "WHERE i.cluster_id = $1 AND i.authority_id = $2 AND i.state IN ('signed', 'delivered', 'confirmed') " \
  "AND i.not_after > now() AND d.state = 'in service'"
constexpr Statement kUse = {
    "authority_use",
    "SELECT (SELECT count(*) FROM issuance WHERE cluster_id = $1 AND authority_id = $2 AND certificate IS NOT NULL), "
    "(SELECT count(*) " DEPENDENT_CERTIFICATES ")"};
// The order has it read that index from its beginning, and no further than it must.
constexpr Statement kCountDependents = {"count_authority_dependents",
                                        "SELECT count(*) FROM (SELECT " DEPENDENT_CERTIFICATES
                                        " ORDER BY i.not_after, i.issuance_id LIMIT $3) counted"};
constexpr Statement kDependents = {"authority_dependents",
                                   "SELECT DISTINCT device FROM (SELECT i.device " DEPENDENT_CERTIFICATES
                                   " ORDER BY i.not_after, i.issuance_id LIMIT $3) first_to_end ORDER BY device"};
#undef DEPENDENT_CERTIFICATES
constexpr Statement kOpenIntents = {
    "authority_open_intents",
    "SELECT count(*) FROM issuance WHERE cluster_id = $1 AND authority_id = $2 AND state = 'intent'"};

constexpr std::array<std::string_view, 5> kStateNames = {"requested", "prepared", "active", "tainted", "retired"};

absl::StatusOr<Authority> ReadRow(const Row& row) {
  Authority authority;
  std::string state;
  std::optional<std::string> certificate;
  std::vector<std::string> chain;
  RETURN_IF_ERROR(row.Scan(authority.id, state, authority.key_name, authority.public_key, authority.subject,
                           certificate, chain, authority.created_by, authority.created_at, authority.prepared_at,
                           authority.activated_at, authority.tainted_at, authority.retired_at));
  for (size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == state) authority.state = static_cast<AuthorityState>(i);
  }
  if (certificate) {
    ASSIGN_OR_RETURN(authority.certificate, Certificate::FromDer(AsBytes(*certificate)));
  }
  for (const std::string& der : chain) {
    ASSIGN_OR_RETURN(Certificate issuer, Certificate::FromDer(AsBytes(der)));
    authority.chain.push_back(std::move(issuer));
  }
  return authority;
}

absl::StatusOr<Authority> ReadOne(const Result& result, int32_t id) {
  if (result.empty()) return NotFound("there is no authority {} in this cluster: see `trustctl ca list`", id);
  return ReadRow(result[0]);
}

}  // namespace

std::string_view AuthorityStateName(AuthorityState state) { return kStateNames[static_cast<size_t>(state)]; }

absl::StatusOr<std::vector<Authority>> AuthorityStore::List() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kList, Parameters().Int64(cluster_id_)));
  std::vector<Authority> authorities;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(Authority authority, ReadRow(row));
    authorities.push_back(std::move(authority));
  }
  return authorities;
}

absl::StatusOr<Authority> AuthorityStore::Load(int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLoad, Parameters().Int64(cluster_id_).Int64(id)));
  return ReadOne(result, id);
}

absl::StatusOr<std::optional<Authority>> AuthorityStore::FindByKey(std::string_view key_name) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kFindByKey, Parameters().Int64(cluster_id_).Text(key_name)));
  if (result.empty()) return std::nullopt;
  return ReadRow(result[0]);
}

absl::StatusOr<Authority> AuthorityStore::Lock(int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kLock, Parameters().Int64(cluster_id_).Int64(id)));
  return ReadOne(result, id);
}

absl::StatusOr<Authority> AuthorityStore::Active() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kActive, Parameters().Int64(cluster_id_)));
  if (result.empty()) {
    return FailedPrecondition(
        "no authority of this cluster issues certificates: `trustctl ca rollover prepare` makes one, `trustctl ca "
        "rollover activate ID` puts it to work");
  }
  return ReadRow(result[0]);
}

absl::Status AuthorityStore::LockAll() {
  return connection_.Execute(kLockAll, Parameters().Int64(cluster_id_)).status();
}

absl::StatusOr<Authority> AuthorityStore::InsertRequested(const std::string& key_name,
                                                          const Sha256Digest& public_key_sha256,
                                                          const std::string& public_key, const std::string& subject,
                                                          std::string_view created_by) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kInsert, Parameters()
                                                                         .Int64(cluster_id_)
                                                                         .Text(key_name)
                                                                         .Bytes(public_key_sha256)
                                                                         .Text(public_key)
                                                                         .Text(subject)
                                                                         .Text(created_by)));
  ASSIGN_OR_RETURN(const int32_t id, result.Value<int32_t>());
  return Load(id);
}

absl::Status AuthorityStore::SetCertificate(int32_t id, const Certificate& certificate,
                                            const std::vector<Certificate>& chain) {
  std::vector<std::string> issuers;
  for (const Certificate& issuer : chain) issuers.emplace_back(AsText(issuer.der()));
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kSetCertificate, Parameters()
                                                                                 .Int64(cluster_id_)
                                                                                 .Int64(id)
                                                                                 .Bytes(certificate.der())
                                                                                 .BytesArray(issuers)
                                                                                 .Text(certificate.subject().ToText())
                                                                                 .Time(certificate.not_before())
                                                                                 .Time(certificate.not_after())));
  if (result.affected() == 1) return absl::OkStatus();
  return FailedPrecondition("authority {} does not wait for its certificate any more: see `trustctl ca list`", id);
}

absl::Status AuthorityStore::SetState(int32_t id, AuthorityState state) {
  return connection_.Execute(kSetState, Parameters().Int64(cluster_id_).Int64(id).Text(AuthorityStateName(state)))
      .status();
}

absl::Status AuthorityStore::Discard(int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kDiscard, Parameters().Int64(cluster_id_).Int64(id)));
  if (result.affected() == 1) return absl::OkStatus();
  return FailedPrecondition("authority {} does not wait for its certificate any more: see `trustctl ca list`", id);
}

absl::StatusOr<std::map<int32_t, AuthorityCrl>> AuthorityStore::Crls() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCrls, Parameters().Int64(cluster_id_)));
  std::map<int32_t, AuthorityCrl> crls;
  for (const Row row : result) {
    int32_t id = 0;
    AuthorityCrl crl;
    RETURN_IF_ERROR(row.Scan(id, crl.number, crl.next_update, crl.revoked));
    crls.emplace(id, crl);
  }
  return crls;
}

absl::StatusOr<AuthorityUse> AuthorityStore::CountUse(int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kUse, Parameters().Int64(cluster_id_).Int64(id)));
  AuthorityUse use;
  RETURN_IF_ERROR(result[0].Scan(use.issued, use.dependents));
  return use;
}

absl::StatusOr<int64_t> AuthorityStore::CountDependents(int32_t id, int64_t most) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kCountDependents, Parameters().Int64(cluster_id_).Int64(id).Int64(most)));
  return result.Value<int64_t>();
}

absl::StatusOr<std::vector<std::string>> AuthorityStore::Dependents(int32_t id, int64_t limit) {
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kDependents, Parameters().Int64(cluster_id_).Int64(id).Int64(limit)));
  std::vector<std::string> devices;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(std::string device, row.Get<std::string>(0));
    devices.push_back(std::move(device));
  }
  return devices;
}

absl::StatusOr<int64_t> AuthorityStore::OpenIntents(int32_t id) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kOpenIntents, Parameters().Int64(cluster_id_).Int64(id)));
  return result.Value<int64_t>();
}

}  // namespace trustline
