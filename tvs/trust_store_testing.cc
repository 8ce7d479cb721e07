#include "tvs/trust_store_testing.h"

#include <gtest/gtest.h>
#include <openssl/x509.h>

#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "common/x509/crl.h"

namespace trustline {

CertificateFacts FactsOf(const Certificate& certificate) {
  return {.sha256 = certificate.sha256(),
          .der = std::string(AsText(certificate.der())),
          .subject_key = certificate.subject().key(),
          .issuer_key = certificate.issuer().key(),
          .serial = std::string(AsText(certificate.serial())),
          .authority_key_id = std::string(AsText(certificate.authority_key_id())),
          .not_before = absl::ToUnixSeconds(certificate.not_before()),
          .not_after = absl::ToUnixSeconds(certificate.not_after()),
          .is_ca = certificate.is_ca()};
}

std::string MakeTestCrl(const Party& issuer, const std::vector<Certificate>& revoked, absl::Time now,
                        absl::Time next_update) {
  const X509CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate.x509()));
  const Asn1TimePtr begin(ASN1_TIME_set(nullptr, absl::ToTimeT(now - absl::Hours(1))));
  const Asn1TimePtr end(ASN1_TIME_set(nullptr, absl::ToTimeT(next_update)));
  X509_CRL_set1_lastUpdate(crl.get(), begin.get());
  X509_CRL_set1_nextUpdate(crl.get(), end.get());
  for (const Certificate& certificate : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate.x509()));
    X509_REVOKED_set_revocationDate(entry, begin.get());
    X509_CRL_add0_revoked(crl.get(), entry);
  }
  X509_CRL_sort(crl.get());
  X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
}

std::shared_ptr<const SnapshotCrl> SnapshotCrlOf(const std::string& der) {
  const CertificateRevocationList parsed = *CertificateRevocationList::FromBytes(AsBytes(der));
  auto crl = std::make_shared<SnapshotCrl>();
  crl->issuer_key = parsed.issuer().key();
  crl->authority_key_id = FixedKeyIdentifier(parsed.authority_key_id());
  crl->sha256 = parsed.sha256();
  crl->issuer = parsed.issuer().ToText();
  if (parsed.next_update()) crl->next_update = absl::ToUnixSeconds(*parsed.next_update());
  parsed.ForEachRevoked(
      [&](const RevokedCertificate& r) { crl->revoked.insert(IssuerSerialKey(crl->issuer_key, r.serial)); });
  return crl;
}

std::unique_ptr<const TrustSnapshot> MakeSnapshot(const std::vector<TestEntry>& entries,
                                                  const std::vector<std::string>& crls) {
  TrustSnapshotBuilder builder(nullptr);
  for (const TestEntry& entry : entries) {
    builder.AddCertificate(FactsOf(entry.certificate));
    EXPECT_TRUE(
        builder.SetEntry(entry.certificate.sha256(), entry.role, entry.ttl_seconds, entry.anchor, entry.removed).ok());
  }
  for (const std::string& der : crls) builder.SetCrl(SnapshotCrlOf(der));
  auto snapshot = std::move(builder).Build(1);
  EXPECT_TRUE(snapshot.ok()) << snapshot.status();
  return *std::move(snapshot);
}

TestTrustStore::TestTrustStore(const ScratchDatabase& database, std::string cluster)
    : database_(database), cluster_(std::move(cluster)) {}

absl::Status TestTrustStore::InCommit(
    const std::function<absl::Status(Connection&, int32_t cluster_id, int64_t commit)>& change) {
  ASSIGN_OR_RETURN(Connection connection, database_.Connect("trustline_itld"));
  return RunInTransaction(connection, {}, [&](Connection& c) -> absl::Status {
    ASSIGN_OR_RETURN(const Result result, c.Execute("UPDATE cluster SET trust_commit = trust_commit + 1 WHERE name = $1"
                                                    " RETURNING cluster_id, trust_commit",
                                                    Parameters().Text(cluster_)));
    int32_t cluster_id = 0;
    int64_t commit = 0;
    RETURN_IF_ERROR(result[0].Scan(cluster_id, commit));
    return change(c, cluster_id, commit);
  });
}

absl::Status TestTrustStore::Put(const TestEntry& entry) {
  const CertificateFacts facts = FactsOf(entry.certificate);
  return InCommit([&](Connection& c, int32_t cluster_id, int64_t commit) -> absl::Status {
    RETURN_IF_ERROR(c.Execute("INSERT INTO certificate (sha256, der, subject, issuer, subject_key, issuer_key, serial,"
                              " authority_key_id, not_before, not_after, is_ca, public_key)"
                              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
                              Parameters()
                                  .Bytes(facts.sha256)
                                  .Bytes(AsBytes(facts.der))
                                  .Text(entry.certificate.subject().ToText())
                                  .Text(entry.certificate.issuer().ToText())
                                  .Bytes(facts.subject_key)
                                  .Bytes(facts.issuer_key)
                                  .Bytes(AsBytes(facts.serial))
                                  .Bytes(AsBytes(facts.authority_key_id))
                                  .Time(entry.certificate.not_before())
                                  .Time(entry.certificate.not_after())
                                  .Bool(facts.is_ca)
                                  .Text(entry.certificate.public_key_kind()))
                        .status());
    return c
        .Execute(
            "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by,"
            " removed_at, commit_number) VALUES ($1, $2, $3, $4, $5, 'import', 'test',"
            " CASE WHEN $6 THEN now() END, $7) ON CONFLICT (cluster_id, sha256, role) DO UPDATE SET"
            " ttl_seconds = excluded.ttl_seconds, anchor = excluded.anchor, removed_at = excluded.removed_at,"
            " commit_number = excluded.commit_number",
            Parameters()
                .Int64(cluster_id)
                .Bytes(facts.sha256)
                .Int64(entry.role)
                .Int64(entry.ttl_seconds)
                .Bool(entry.anchor)
                .Bool(entry.removed)
                .Int64(commit))
        .status();
  });
}

absl::Status TestTrustStore::PutCrl(const std::string& der) {
  const CertificateRevocationList crl = *CertificateRevocationList::FromBytes(AsBytes(der));
  return InCommit([&](Connection& c, int32_t cluster_id, int64_t commit) {
    return c
        .Execute(
            "INSERT INTO trust_crl (cluster_id, issuer_key, authority_key_id, sha256, der, issuer, crl_number,"
            " this_update, next_update, revoked_count, added_by, commit_number)"
            " VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, $9, 'test', $10)"
            " ON CONFLICT (cluster_id, issuer_key, authority_key_id) DO UPDATE SET sha256 = excluded.sha256,"
            " der = excluded.der, next_update = excluded.next_update, removed_at = NULL,"
            " commit_number = excluded.commit_number",
            Parameters()
                .Int64(cluster_id)
                .Bytes(crl.issuer().key())
                .Bytes(crl.authority_key_id())
                .Bytes(crl.sha256())
                .Bytes(AsBytes(der))
                .Text(crl.issuer().ToText())
                .Time(crl.this_update())
                .Time(crl.next_update())
                .Int64(static_cast<int64_t>(crl.revoked_count()))
                .Int64(commit))
        .status();
  });
}

absl::Status TestTrustStore::RemoveCrl(const std::string& der) {
  const CertificateRevocationList crl = *CertificateRevocationList::FromBytes(AsBytes(der));
  return InCommit([&](Connection& c, int32_t cluster_id, int64_t commit) {
    return c
        .Execute(
            "UPDATE trust_crl SET removed_at = now(), der = '', commit_number = $3"
            " WHERE cluster_id = $1 AND sha256 = $2",
            Parameters().Int64(cluster_id).Bytes(crl.sha256()).Int64(commit))
        .status();
  });
}

absl::Status TestTrustStore::PutAuthorityCrl(std::string_view key_name, const std::string& der,
                                             absl::Time next_update) {
  ASSIGN_OR_RETURN(Connection connection, database_.Connect("trustline_cad"));
  return RunInTransaction(connection, {}, [&](Connection& c) -> absl::Status {
    RETURN_IF_ERROR(c.Execute("INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256,"
                              " subject, certificate, created_by) SELECT cluster_id, 'prepared', $2, 'RSA 2048', $3,"
                              " 'CN=' || $2, ''::bytea, 'test' FROM cluster WHERE name = $1 ON CONFLICT DO NOTHING",
                              Parameters().Text(cluster_).Text(key_name).Bytes(Sha256(AsBytes(key_name))))
                        .status());
    return c
        .Execute(
            "INSERT INTO ca_crl (cluster_id, authority_id, crl_number, der, sha256, this_update, next_update,"
            " revoked_count) SELECT cluster_id, authority_id, 1, $2, $3, now(), $4, 0 FROM ca_authority"
            " WHERE key_name = $1 ON CONFLICT (cluster_id, authority_id) DO UPDATE SET"
            " crl_number = ca_crl.crl_number + 1, der = excluded.der, sha256 = excluded.sha256,"
            " next_update = excluded.next_update",
            Parameters().Text(key_name).Bytes(AsBytes(der)).Bytes(Sha256(AsBytes(der))).Time(next_update))
        .status();
  });
}

absl::Status TestTrustStore::RunByHand(const std::string& sql) {
  ASSIGN_OR_RETURN(Connection connection, database_.Connect());
  return connection.ExecuteScript(sql);
}

}  // namespace trustline
