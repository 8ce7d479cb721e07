#include "itl/move/cluster_trust_store.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "itl/list/list_order.h"
#include "itl/list/list_store.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"

namespace trustline {
namespace {

constexpr Statement kTvs = {
    "move_tvs",
    "SELECT c.der FROM trust_entry e JOIN certificate c ON c.sha256 = e.sha256 WHERE e.cluster_id = $1 AND e.role = $2 "
    "AND e.listed AND e.removed_at IS NULL ORDER BY c.subject, e.sha256"};
constexpr Statement kTrusted = {"move_trusted",
                                "SELECT sha256, role FROM trust_entry WHERE cluster_id = $1 AND sha256 = ANY($2) AND "
                                "removed_at IS NULL AND role >= 0"};

void AddSigner(const StoredSigner& signer, CertificateRole tftp_role, ClusterTrust& trust) {
  const bool is_recovery = signer.tftp_server.empty();
  std::vector<CertificateRole> roles = {CertificateRole::kSast};
  if (!is_recovery) roles.push_back(tftp_role);
  trust.certificates.push_back({signer.certificate, std::move(roles),
                                is_recovery ? "ITLRecovery" : fmt::format("TFTP server {}", signer.tftp_server)});
}

absl::Status AddTvs(Connection& connection, int32_t cluster_id, ClusterTrust& trust) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection.Execute(kTvs, Parameters().Int64(cluster_id).Int64(TrustRoleCode(CertificateRole::kTvs))));
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string der, row.Get<std::string>(0));
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    const auto same = std::find_if(trust.certificates.begin(), trust.certificates.end(),
                                   [&](const MovedCertificate& one) { return one.certificate == certificate; });
    if (same != trust.certificates.end()) {
      same->roles.push_back(CertificateRole::kTvs);
    } else {
      trust.certificates.push_back({std::move(certificate), {CertificateRole::kTvs}, "TVS"});
    }
  }
  return absl::OkStatus();
}

// The lists, each of which must be signed with a key of now.
absl::Status AddLists(ListStore& store, const std::vector<StoredSigner>& signers, ClusterTrust& trust) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists({}));
  std::vector<int64_t> ids;
  for (const StoredList& list : lists) ids.push_back(list.list_id);
  ASSIGN_OR_RETURN(const auto files, store.CurrentFiles(ids));
  ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, store.Servers());
  for (const StoredServer& server : servers) {
    const auto own = std::find_if(signers.begin(), signers.end(),
                                  [&](const StoredSigner& signer) { return signer.tftp_server == server.name; });
    if (own == signers.end()) return Internal("the TFTP server {} has no certificate", server.name);
    trust.servers.push_back({server.name, server.host, "", own->certificate.sha256()});
  }
  for (const StoredList& list : lists) {
    const auto file = files.find(list.list_id);
    if (!list.form.device.empty() || !list.current || file == files.end()) continue;
    const bool is_known =
        std::any_of(trust.certificates.begin(), trust.certificates.end(), [&](const MovedCertificate& one) {
          return one.certificate.sha256() == list.current->signer_sha256 && one.Has(CertificateRole::kSast);
        });
    if (!is_known) {
      return FailedPrecondition(
          "the {} is signed with a key that is no signer any more: publish it first (`trustctl itl publish`, `trustctl "
          "ctl publish`)",
          ListText(list.form));
    }
    if (list.form.kind == ListKind::kCtl) {
      trust.ctl = file->second;
      continue;
    }
    for (MovedServer& server : trust.servers) {
      if (server.name == list.form.tftp_server) server.itl = file->second;
    }
  }
  for (const MovedServer& server : trust.servers) {
    if (!server.itl.empty()) continue;
    return FailedPrecondition("the ITL of {} is not published yet: `trustctl itl list` says what it waits for",
                              server.name);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClusterTrust> ReadClusterTrust(Connection& connection, int32_t cluster_id, const std::string& cluster) {
  ListStore store(connection, cluster_id);
  ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.ReadPolicy());
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, store.Signers());
  if (!policy || signers.empty()) {
    return FailedPrecondition(
        "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", cluster);
  }
  ClusterTrust trust;
  trust.cluster = cluster;
  for (const StoredSigner& signer : signers) AddSigner(signer, policy->policy.tftp_role, trust);
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> overlapping, store.OverlappingSigners());
  for (const StoredSigner& signer : overlapping) AddSigner(signer, policy->policy.tftp_role, trust);
  RETURN_IF_ERROR(AddTvs(connection, cluster_id, trust));
  RETURN_IF_ERROR(AddLists(store, signers, trust));
  return trust;
}

absl::Status CheckIsOther(Connection& connection, int32_t cluster_id, const std::string& cluster,
                          const ClusterTrust& trust) {
  ListStore store(connection, cluster_id);
  ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, store.Signers());
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> overlapping, store.OverlappingSigners());
  signers.insert(signers.end(), overlapping.begin(), overlapping.end());
  size_t all = 0, own = 0;
  for (const MovedCertificate& one : trust.certificates) {
    if (!one.Has(CertificateRole::kSast)) continue;
    ++all;
    own += std::any_of(signers.begin(), signers.end(),
                       [&](const StoredSigner& signer) { return signer.certificate == one.certificate; })
               ? 1
               : 0;
  }
  // Clusters may share a key, when one was brought from the other.
  const bool is_own = own > 0 && (own == all || trust.cluster == cluster);
  if (!is_own) return absl::OkStatus();
  return FailedPrecondition(
      "this is the export of this cluster, {}, itself: the other side makes its own (`trustctl cluster export` there)",
      cluster);
}

absl::StatusOr<TrustedRoles> FindTrusted(Connection& connection, int32_t cluster_id, const ClusterTrust& trust) {
  std::vector<std::string> digests;
  TrustedRoles asked;
  for (const MovedCertificate& one : trust.certificates) {
    digests.emplace_back(AsText(one.certificate.sha256()));
    for (const CertificateRole role : one.roles) asked.emplace(one.certificate.sha256(), role);
  }
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kTrusted, Parameters().Int64(cluster_id).BytesArray(digests)));
  TrustedRoles trusted;
  for (const Row row : rows) {
    Sha256Digest sha256;
    int64_t code = 0;
    RETURN_IF_ERROR(row.Scan(sha256, code));
    const std::optional<CertificateRole> role = CertificateRoleFromCode(static_cast<int>(code));
    if (role && asked.contains({sha256, *role})) trusted.emplace(sha256, *role);
  }
  return trusted;
}

absl::StatusOr<MoveImport> ImportClusterTrust(Connection& transaction, const TrustStoreCaller& caller,
                                              const ClusterTrust& trust, absl::Time now) {
  ASSIGN_OR_RETURN(const TrustedRoles before, FindTrusted(transaction, caller.cluster_id, trust));
  // An import is of one set of roles.
  std::map<std::vector<CertificateRole>, std::vector<ImportCandidate>> imports;
  MoveImport moved;
  for (const MovedCertificate& one : trust.certificates) {
    imports[one.roles].push_back(
        {std::string(AsText(one.certificate.der())), fmt::format("{} of the cluster {}", one.of, trust.cluster)});
    moved.added += std::ssize(one.roles);
  }
  moved.unchanged = std::ssize(before);
  moved.added -= moved.unchanged;
  for (const auto& [roles, candidates] : imports) {
    ASSIGN_OR_RETURN(TrustImport import,
                     TrustImport::Begin(transaction, caller, {.roles = roles, .keeps_present = true}, now));
    RETURN_IF_ERROR(import.AddBatch(candidates));
    ASSIGN_OR_RETURN(const ImportResult result, import.Finish());
    moved.warnings.insert(moved.warnings.end(), result.warnings.begin(), result.warnings.end());
  }
  return moved;
}

absl::Status RemoveClusterTrust(Connection& transaction, const TrustStoreCaller& caller, const ClusterTrust& trust,
                                const TrustedRoles& kept) {
  TrustEditor editor(transaction, caller);
  for (const MovedCertificate& one : trust.certificates) {
    const Sha256Digest& sha256 = one.certificate.sha256();
    RETURN_IF_ERROR(editor
                        .RemoveEntries(sha256,
                                       [&](const TrustEntry& entry) {
                                         return entry.role && one.Has(*entry.role) && entry.origin == "import" &&
                                                !entry.listed && !kept.contains({sha256, *entry.role});
                                       })
                        .status());
  }
  return absl::OkStatus();
}

}  // namespace trustline
