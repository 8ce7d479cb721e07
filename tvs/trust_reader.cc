#include "tvs/trust_reader.h"

#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "common/x509/crl.h"

namespace trustline {
namespace {

constexpr TransactionOptions kConsistentRead = {.isolation = Isolation::kRepeatableRead, .read_only = true};

constexpr Statement kReadCommits = {"read_cluster_commits", "SELECT name, cluster_id, trust_commit FROM cluster"};

constexpr Statement kReadCommit = {"read_cluster_commit", "SELECT trust_commit FROM cluster WHERE cluster_id = $1"};

constexpr Statement kReadEntries = {
    "read_trust_entries",
    "SELECT e.sha256, e.role, e.ttl_seconds, e.anchor, e.removed_at IS NOT NULL, c.der, c.subject_key, c.issuer_key,"
    " c.serial, coalesce(c.authority_key_id, ''::bytea), c.not_before, c.not_after, c.is_ca"
    " FROM trust_entry e JOIN certificate c USING (sha256) WHERE e.cluster_id = $1 AND e.commit_number > $2"};

constexpr Statement kReadCrls = {
    "read_trust_crls",
    "SELECT issuer_key, authority_key_id, sha256, der, issuer, next_update, removed_at IS NOT NULL"
    " FROM trust_crl WHERE cluster_id = $1 AND commit_number > $2"};

// The same sum as TrustSnapshot::ComputeDigest.
constexpr Statement kReadDigest = {
    "read_trust_digest",
    "SELECT count(*), coalesce(bit_xor(('x' || encode(substring(hash FROM 1 FOR 8), 'hex'))::bit(64)::bigint), 0)"
    " FROM (SELECT sha256(sha256 || int2send(role) || int4send(ttl_seconds) || boolsend(anchor)"
    " || boolsend(removed_at IS NOT NULL)) AS hash FROM trust_entry WHERE cluster_id = $1"
    " UNION ALL SELECT sha256 FROM trust_crl WHERE cluster_id = $1 AND removed_at IS NULL) AS hashes"};

absl::Status ReadEntries(Connection& connection, int32_t cluster_id, int64_t after_commit,
                         TrustSnapshotBuilder& builder) {
  CertificateFacts facts;
  return connection.ForEachRow(
      kReadEntries, Parameters().Int64(cluster_id).Int64(after_commit), [&](const Row& row) -> absl::Status {
        int32_t role = 0;
        int32_t ttl_seconds = 0;
        bool anchor = false;
        bool removed = false;
        absl::Time not_before;
        absl::Time not_after;
        RETURN_IF_ERROR(row.Scan(facts.sha256, role, ttl_seconds, anchor, removed, facts.der, facts.subject_key,
                                 facts.issuer_key, facts.serial, facts.authority_key_id, not_before, not_after,
                                 facts.is_ca));
        facts.not_before = absl::ToUnixSeconds(not_before);
        facts.not_after = absl::ToUnixSeconds(not_after);
        builder.AddCertificate(facts);
        return builder.SetEntry(facts.sha256, role, static_cast<uint32_t>(ttl_seconds), anchor, removed);
      });
}

absl::Status ReadCrls(Connection& connection, int32_t cluster_id, int64_t after_commit, TrustSnapshotBuilder& builder) {
  return connection.ForEachRow(
      kReadCrls, Parameters().Int64(cluster_id).Int64(after_commit), [&](const Row& row) -> absl::Status {
        auto crl = std::make_shared<SnapshotCrl>();
        std::string authority_key_id;
        std::string der;
        std::optional<absl::Time> next_update;
        bool removed = false;
        RETURN_IF_ERROR(
            row.Scan(crl->issuer_key, authority_key_id, crl->sha256, der, crl->issuer, next_update, removed));
        crl->authority_key_id = FixedKeyIdentifier(AsBytes(authority_key_id));
        if (removed) {
          builder.RemoveCrl(crl->issuer_key, crl->authority_key_id);
          return absl::OkStatus();
        }
        if (next_update) crl->next_update = absl::ToUnixSeconds(*next_update);
        const absl::StatusOr<CertificateRevocationList> parsed = CertificateRevocationList::FromBytes(AsBytes(der));
        if (!parsed.ok()) return Annotate(parsed.status(), "CRL of " + crl->issuer);
        crl->revoked.reserve(parsed->revoked_count());
        parsed->ForEachRevoked([&crl](const RevokedCertificate& revoked) {
          crl->revoked.insert(IssuerSerialKey(crl->issuer_key, revoked.serial));
        });
        builder.SetCrl(std::move(crl));
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<std::map<std::string, ClusterCommit>> ReadClusterCommits(Connection& connection) {
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kReadCommits));
  std::map<std::string, ClusterCommit> commits;
  for (const Row row : result) {
    std::string name;
    ClusterCommit commit;
    RETURN_IF_ERROR(row.Scan(name, commit.cluster_id, commit.commit));
    commits.emplace(std::move(name), commit);
  }
  return commits;
}

absl::StatusOr<std::unique_ptr<const TrustSnapshot>> ReadSnapshot(Connection& connection, int32_t cluster_id,
                                                                  const TrustSnapshot* previous) {
  return RunInTransaction(
      connection, kConsistentRead, [&](Connection& c) -> absl::StatusOr<std::unique_ptr<const TrustSnapshot>> {
        ASSIGN_OR_RETURN(const Result result, c.Execute(kReadCommit, Parameters().Int64(cluster_id)));
        ASSIGN_OR_RETURN(const int64_t commit, result.Value<int64_t>());
        const int64_t after_commit = previous ? previous->commit() : -1;
        TrustSnapshotBuilder builder(previous);
        RETURN_IF_ERROR(ReadCrls(c, cluster_id, after_commit, builder));
        RETURN_IF_ERROR(ReadEntries(c, cluster_id, after_commit, builder));
        return std::move(builder).Build(commit);
      });
}

absl::StatusOr<DatabaseDigest> ReadDigest(Connection& connection, int32_t cluster_id) {
  return RunInTransaction(connection, kConsistentRead, [&](Connection& c) -> absl::StatusOr<DatabaseDigest> {
    DatabaseDigest digest;
    ASSIGN_OR_RETURN(const Result commit, c.Execute(kReadCommit, Parameters().Int64(cluster_id)));
    ASSIGN_OR_RETURN(digest.commit, commit.Value<int64_t>());
    ASSIGN_OR_RETURN(const Result sum, c.Execute(kReadDigest, Parameters().Int64(cluster_id)));
    RETURN_IF_ERROR(sum[0].Scan(digest.digest.entries, digest.digest.mixed));
    return digest;
  });
}

}  // namespace trustline
