// What lists are made of: policy, TFTP servers, signers. The lists themselves are in list_store_lists.cc.
#include "itl/list/list_store.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kReadPolicySql[] =
    "SELECT p.tftp_role, p.recovery_years, p.digest, p.signer_version, p.vendor_names, p.organization, "
    "p.organizational_unit, p.mixed_mode, p.blank, p.blank_since, coalesce(p.blank_by, ''), p.considered_commit, "
    "c.trust_commit FROM trust_list_policy p JOIN cluster c USING (cluster_id) WHERE p.cluster_id = $1";
constexpr Statement kReadPolicy = {"list_policy", kReadPolicySql};
// The row alone: what it joins with is read anew afterwards, when whoever was waited for has committed.
constexpr Statement kLockPolicy = {"list_policy_lock",
                                   "SELECT 1 FROM trust_list_policy WHERE cluster_id = $1 FOR UPDATE"};
constexpr Statement kCreatePolicy = {
    "list_policy_create",
    "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) VALUES "
    "($1, $2, $3, $4, $5) ON CONFLICT (cluster_id) DO NOTHING"};
constexpr Statement kWritePolicy = {
    "list_policy_write",
    "UPDATE trust_list_policy SET tftp_role = $2, recovery_years = $3, digest = $4, signer_version = $5, vendor_names "
    "= $6, mixed_mode = $7, blank = $8, blank_since = CASE WHEN NOT $8 THEN NULL WHEN blank THEN blank_since ELSE "
    "now() END, blank_by = CASE WHEN NOT $8 THEN NULL WHEN blank THEN blank_by ELSE $9 END WHERE cluster_id = $1"};
constexpr Statement kMarkConsidered = {"list_considered",
                                       "UPDATE trust_list_policy SET considered_commit = $2 WHERE cluster_id = $1"};
constexpr Statement kServers = {"tftp_servers",
                                "SELECT name, host, added_by, added_at FROM tftp_server WHERE cluster_id = $1 AND "
                                "removed_at IS NULL ORDER BY name COLLATE \"C\""};
constexpr Statement kAddServer = {
    "tftp_server_add",
    "INSERT INTO tftp_server AS s (cluster_id, name, host, added_by) VALUES ($1, $2, $3, $4) ON CONFLICT (cluster_id, "
    "name) DO UPDATE SET host = excluded.host, added_by = excluded.added_by, added_at = now(), removed_at = NULL WHERE "
    "s.removed_at IS NOT NULL"};
constexpr Statement kRemoveServer = {
    "tftp_server_remove",
    "UPDATE tftp_server SET removed_at = now() WHERE cluster_id = $1 AND name = $2 AND removed_at IS NULL"};
constexpr Statement kRemoveListsOfServer = {
    "tftp_server_remove_lists",
    "UPDATE trust_list SET removed_at = now() WHERE cluster_id = $1 AND tftp_server = $2 AND removed_at IS NULL"};
constexpr Statement kDropCandidatesOfServer = {
    "tftp_server_drop_candidates",
    "DELETE FROM trust_list_candidate USING trust_list l WHERE trust_list_candidate.cluster_id = $1 AND l.cluster_id = "
    "$1 AND l.list_id = trust_list_candidate.list_id AND l.tftp_server = $2"};
constexpr Statement kSigners = {
    "list_signers",
    "SELECT s.tftp_server, c.der, s.key_name, s.reason, s.created_at FROM list_signer s JOIN certificate c USING "
    "(sha256) WHERE s.cluster_id = $1 AND s.replaced_at IS NULL AND NOT s.overlapping ORDER BY s.tftp_server COLLATE "
    "\"C\""};
constexpr Statement kOverlapping = {
    "list_signers_overlapping",
    "SELECT s.tftp_server, c.der, s.key_name, s.reason, s.created_at FROM list_signer s JOIN certificate c USING "
    "(sha256) WHERE s.cluster_id = $1 AND s.overlapping ORDER BY s.tftp_server COLLATE \"C\""};
constexpr Statement kPreviousRecovery = {
    "list_signer_previous",
    "SELECT s.tftp_server, c.der, s.key_name, s.reason, s.created_at FROM list_signer s JOIN certificate c USING "
    "(sha256) WHERE s.cluster_id = $1 AND s.tftp_server = '' AND NOT EXISTS (SELECT FROM list_signer p WHERE "
    "p.cluster_id = $1 AND p.tftp_server = '' AND p.replaced_at IS NULL AND p.sha256 = s.sha256) ORDER BY EXISTS "
    "(SELECT FROM trust_list l JOIN trust_list_generation g USING (cluster_id, list_id, generation) WHERE l.cluster_id "
    "= $1 AND l.removed_at IS NULL AND g.signer_sha256 = s.sha256) DESC, s.replaced_at DESC, s.signer_id DESC LIMIT 1"};
constexpr Statement kReplaceSigner = {
    "list_signer_replace",
    "UPDATE list_signer SET replaced_at = now() WHERE cluster_id = $1 AND tftp_server = $2 AND replaced_at IS NULL AND "
    "NOT overlapping"};
// One that overlaps and becomes the present one by another row.
constexpr Statement kDropSameOverlap = {"list_signer_drop_same_overlap",
                                        "UPDATE list_signer SET overlapping = false, replaced_at = "
                                        "coalesce(replaced_at, '-infinity') WHERE cluster_id = $1 AND "
                                        "tftp_server = $2 AND overlapping AND sha256 = $3"};
constexpr Statement kAddSigner = {"list_signer_add",
                                  "INSERT INTO list_signer (cluster_id, tftp_server, sha256, key_name, reason, "
                                  "created_by, overlapping) VALUES ($1, $2, "
                                  "$3, $4, $5, $6, $7)"};
// The order keeps to one present and one overlapping signer a server.
constexpr Statement kSwitchIn = {"list_signer_switch_in",
                                 "UPDATE list_signer SET overlapping = false, replaced_at = NULL WHERE cluster_id = $1 "
                                 "AND tftp_server = $2 AND overlapping "
                                 "AND sha256 = $3"};
constexpr Statement kSwitchOut = {"list_signer_switch_out",
                                  "UPDATE list_signer SET overlapping = true WHERE cluster_id = $1 AND tftp_server = "
                                  "$2 AND sha256 = $3 AND replaced_at = "
                                  "now()"};
// One that never was the present one was replaced at no time, so that it is not the one before.
constexpr Statement kEndOverlap = {"list_signer_end_overlap",
                                   "UPDATE list_signer SET overlapping = false, replaced_at = coalesce(replaced_at, "
                                   "'-infinity') WHERE cluster_id = $1 AND "
                                   "tftp_server = $2 AND overlapping"};
constexpr Statement kListed = {"listed_entries",
                               "SELECT e.role, c.der FROM trust_entry e JOIN certificate c USING (sha256) WHERE "
                               "e.cluster_id = $1 AND e.listed AND "
                               "e.removed_at IS NULL ORDER BY e.role, c.subject COLLATE \"C\", c.sha256"};

int64_t DigestCode(DigestAlgorithm digest) { return static_cast<int64_t>(digest); }

}  // namespace

absl::StatusOr<std::optional<StoredPolicy>> ListStore::ReadPolicy() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kReadPolicy, Parameters().Int64(cluster_id_)));
  if (result.empty()) return std::nullopt;
  StoredPolicy stored;
  int tftp_role = 0, digest = 0, signer_version = 0;
  bool vendor_names = false;
  for (const Row row : result) {
    RETURN_IF_ERROR(row.Scan(tftp_role, stored.policy.recovery_years, digest, signer_version, vendor_names,
                             stored.policy.organization, stored.policy.organizational_unit, stored.policy.mixed_mode,
                             stored.policy.blank, stored.blank_since, stored.blank_by, stored.considered_commit,
                             stored.trust_commit));
  }
  stored.policy.tftp_role = CertificateRoleFromCode(tftp_role).value_or(CertificateRole::kCcmTftp);
  stored.policy.digest = static_cast<DigestAlgorithm>(digest);
  stored.policy.signer_version = signer_version == 1 ? kSignerVersionWithEc : kSignerVersion;
  stored.policy.name_form = vendor_names ? NameForm::kVendor : NameForm::kComma;
  return stored;
}

absl::StatusOr<std::optional<StoredPolicy>> ListStore::LockPolicy() {
  RETURN_IF_ERROR(connection_.Execute(kLockPolicy, Parameters().Int64(cluster_id_)).status());
  return ReadPolicy();
}

absl::StatusOr<bool> ListStore::CreatePolicy(const ListPolicy& policy) {
  ASSIGN_OR_RETURN(const Result created,
                   connection_.Execute(kCreatePolicy, Parameters()
                                                          .Int64(cluster_id_)
                                                          .Int64(static_cast<int>(policy.tftp_role))
                                                          .Int64(policy.recovery_years)
                                                          .Text(policy.organization)
                                                          .Text(policy.organizational_unit)));
  return created.affected() > 0;
}

absl::Status ListStore::WritePolicy(const ListPolicy& policy, std::string_view actor) {
  return connection_
      .Execute(kWritePolicy, Parameters()
                                 .Int64(cluster_id_)
                                 .Int64(static_cast<int>(policy.tftp_role))
                                 .Int64(policy.recovery_years)
                                 .Int64(DigestCode(policy.digest))
                                 .Int64(policy.signer_version.minor)
                                 .Bool(policy.name_form == NameForm::kVendor)
                                 .Bool(policy.mixed_mode)
                                 .Bool(policy.blank)
                                 .Text(actor))
      .status();
}

absl::Status ListStore::MarkConsidered(int64_t trust_commit) {
  return connection_.Execute(kMarkConsidered, Parameters().Int64(cluster_id_).Int64(trust_commit)).status();
}

absl::StatusOr<std::vector<StoredServer>> ListStore::Servers() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kServers, Parameters().Int64(cluster_id_)));
  std::vector<StoredServer> servers;
  for (const Row row : result) {
    StoredServer& server = servers.emplace_back();
    RETURN_IF_ERROR(row.Scan(server.name, server.host, server.added_by, server.added_at));
  }
  return servers;
}

absl::StatusOr<bool> ListStore::AddServer(std::string_view name, std::string_view host, std::string_view actor) {
  ASSIGN_OR_RETURN(const Result added,
                   connection_.Execute(kAddServer, Parameters().Int64(cluster_id_).Text(name).Text(host).Text(actor)));
  return added.affected() > 0;
}

absl::StatusOr<bool> ListStore::RemoveServer(std::string_view name) {
  const Parameters of_server = Parameters().Int64(cluster_id_).Text(name);
  ASSIGN_OR_RETURN(const Result removed, connection_.Execute(kRemoveServer, of_server));
  if (removed.affected() == 0) return false;
  RETURN_IF_ERROR(connection_.Execute(kDropCandidatesOfServer, of_server).status());
  RETURN_IF_ERROR(connection_.Execute(kRemoveListsOfServer, of_server).status());
  return true;
}

absl::StatusOr<std::vector<StoredSigner>> ListStore::ReadSigners(const Statement& statement) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(statement, Parameters().Int64(cluster_id_)));
  std::vector<StoredSigner> signers;
  for (const Row row : result) {
    std::string tftp_server, der, key_name, reason;
    absl::Time created_at;
    RETURN_IF_ERROR(row.Scan(tftp_server, der, key_name, reason, created_at));
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    signers.push_back(
        {std::move(tftp_server), std::move(certificate), std::move(key_name), std::move(reason), created_at});
  }
  return signers;
}

absl::StatusOr<std::vector<StoredSigner>> ListStore::Signers() { return ReadSigners(kSigners); }

absl::StatusOr<std::vector<StoredSigner>> ListStore::OverlappingSigners() { return ReadSigners(kOverlapping); }

absl::StatusOr<std::optional<StoredSigner>> ListStore::PreviousRecovery() {
  ASSIGN_OR_RETURN(std::vector<StoredSigner> found, ReadSigners(kPreviousRecovery));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

absl::Status ListStore::AddSigner(std::string_view tftp_server, const Certificate& certificate,
                                  std::string_view key_name, std::string_view reason, std::string_view actor) {
  RETURN_IF_ERROR(connection_.Execute(kReplaceSigner, Parameters().Int64(cluster_id_).Text(tftp_server)).status());
  RETURN_IF_ERROR(
      connection_
          .Execute(kDropSameOverlap, Parameters().Int64(cluster_id_).Text(tftp_server).Bytes(certificate.sha256()))
          .status());
  return WriteSigner(tftp_server, certificate, key_name, reason, actor, /*overlaps=*/false);
}

absl::Status ListStore::WriteSigner(std::string_view tftp_server, const Certificate& certificate,
                                    std::string_view key_name, std::string_view reason, std::string_view actor,
                                    bool overlaps) {
  return connection_
      .Execute(kAddSigner, Parameters()
                               .Int64(cluster_id_)
                               .Text(tftp_server)
                               .Bytes(certificate.sha256())
                               .Text(key_name)
                               .Text(reason)
                               .Text(actor)
                               .Bool(overlaps))
      .status();
}

absl::Status ListStore::AddOverlap(std::string_view tftp_server, const Certificate& certificate,
                                   std::string_view key_name, std::string_view reason, std::string_view actor) {
  RETURN_IF_ERROR(EndOverlap(tftp_server).status());
  return WriteSigner(tftp_server, certificate, key_name, reason, actor, /*overlaps=*/true);
}

absl::Status ListStore::SwitchToOverlap(std::string_view tftp_server, const Certificate& certificate) {
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, Signers());
  const auto present = std::find_if(signers.begin(), signers.end(),
                                    [&](const StoredSigner& signer) { return signer.tftp_server == tftp_server; });
  if (present == signers.end()) return FailedPrecondition("there is no signer that could be replaced");
  const auto of = [&](const Certificate& which) {
    return Parameters().Int64(cluster_id_).Text(tftp_server).Bytes(which.sha256());
  };
  RETURN_IF_ERROR(connection_.Execute(kReplaceSigner, Parameters().Int64(cluster_id_).Text(tftp_server)).status());
  ASSIGN_OR_RETURN(const Result in, connection_.Execute(kSwitchIn, of(certificate)));
  if (in.affected() != 1) {
    return FailedPrecondition("{} does not stand in the lists beside {}", certificate.subject().ToText(),
                              present->certificate.subject().ToText());
  }
  return connection_.Execute(kSwitchOut, of(present->certificate)).status();
}

absl::StatusOr<bool> ListStore::EndOverlap(std::string_view tftp_server) {
  ASSIGN_OR_RETURN(const Result ended,
                   connection_.Execute(kEndOverlap, Parameters().Int64(cluster_id_).Text(tftp_server)));
  return ended.affected() > 0;
}

absl::StatusOr<std::vector<ListedEntry>> ListStore::Listed() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kListed, Parameters().Int64(cluster_id_)));
  std::vector<ListedEntry> listed;
  for (const Row row : result) {
    int role = 0;
    std::string der;
    RETURN_IF_ERROR(row.Scan(role, der));
    const std::optional<CertificateRole> known = CertificateRoleFromCode(role);
    if (!known) return Internal("the trust store lists a certificate with the unknown role {}", role);
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    listed.push_back({std::move(certificate), *known});
  }
  return listed;
}

absl::StatusOr<ListMaterial> ListStore::Material(const ListPolicy& policy, const std::vector<StoredSigner>& signers) {
  if (signers.empty() || !signers.front().tftp_server.empty()) {
    return Internal("cluster {} has trust lists, but no ITLRecovery certificate", cluster_id_);
  }
  ListMaterial material = {.policy = policy, .recovery = signers.front().certificate, .listed = {}, .servers = {}};
  ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, Servers());
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> overlapping, OverlappingSigners());
  for (const StoredServer& server : servers) {
    for (const StoredSigner& signer : signers) {
      if (signer.tftp_server == server.name) {
        material.servers.push_back({server.name, server.host, signer.certificate});
      }
    }
  }
  for (const StoredSigner& signer : overlapping) {
    if (signer.tftp_server.empty()) material.overlapping_recovery = signer.certificate;
    for (TftpServerCertificate& server : material.servers) {
      if (server.server == signer.tftp_server) server.overlapping = signer.certificate;
    }
  }
  ASSIGN_OR_RETURN(material.listed, Listed());
  return material;
}

}  // namespace trustline
