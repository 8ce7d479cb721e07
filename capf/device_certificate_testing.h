// What tests of certificates that prove devices share: a database, and the rows by which certificates are judged, made
// by plain SQL.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/crl.h"
#include "common/x509/x509_testing.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {

struct CrlForm {
  std::vector<Certificate> revoked;
  std::optional<absl::Time> next_update = kTestNow + absl::Hours(24);
};

// In DER, a day old at kTestNow; every entry with the reason keyCompromise.
inline std::string MakeCrl(const Party& issuer, const CrlForm& form) {
  const X509CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate.x509()));
  const Asn1TimePtr made_at(ASN1_TIME_set(nullptr, absl::ToTimeT(kTestNow - absl::Hours(24))));
  X509_CRL_set1_lastUpdate(crl.get(), made_at.get());
  if (form.next_update) {
    const Asn1TimePtr next_update(ASN1_TIME_set(nullptr, absl::ToTimeT(*form.next_update)));
    X509_CRL_set1_nextUpdate(crl.get(), next_update.get());
  }
  for (const Certificate& certificate : form.revoked) {
    X509RevokedPtr entry(X509_REVOKED_new());
    X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(certificate.x509()));
    X509_REVOKED_set_revocationDate(entry.get(), made_at.get());
    const Asn1EnumeratedPtr reason(ASN1_ENUMERATED_new());
    ASN1_ENUMERATED_set(reason.get(), CRL_REASON_KEY_COMPROMISE);
    X509_REVOKED_add1_ext_i2d(entry.get(), NID_crl_reason, reason.get(), 0, 0);
    X509_CRL_add0_revoked(crl.get(), entry.release());
  }
  EXPECT_GT(X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256()), 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
}

// Clusters 1 and 2; capfd's and the superuser's connection.
class CertificateDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    ASSERT_OK_AND_ASSIGN(connection_, database_->Connect("trustline_capfd"));
    ASSERT_OK(superuser_->Execute("INSERT INTO cluster (name) VALUES ('other')"));
  }

  int64_t AddAuthority(const Party& party, std::string_view state, int cluster = 1) {
    const Certificate& certificate = party.certificate;
    const auto added = superuser_->Execute(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "not_before, not_after, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'test') RETURNING authority_id",
        Parameters()
            .Int64(cluster)
            .Text(state)
            .Text(ToHex(certificate.public_key_sha256()).substr(0, 16))
            .Text(certificate.public_key_kind())
            .Bytes(certificate.public_key_sha256())
            .Text(certificate.subject().ToText())
            .Bytes(certificate.der())
            .Time(certificate.not_before())
            .Time(certificate.not_after()));
    EXPECT_OK(added);
    return added.ok() ? added->Value<int64_t>().value_or(0) : 0;
  }
  void Record(const Certificate& certificate, int64_t authority, std::string_view state = "confirmed",
              std::string_view device = "SEP001122334455", int cluster = 1) {
    ASSERT_OK(superuser_->Execute(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, revoked_at, revocation_reason) VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, '', $9, $10, '', '', "
        "$11, $12, 'test', CASE WHEN $4 = 'revoked' THEN $9 END, CASE WHEN $4 = 'revoked' THEN 1 END)",
        Parameters()
            .Int64(cluster)
            .Int64(authority)
            .Text(device)
            .Text(state)
            .Bytes(certificate.serial())
            .Text(certificate.subject().ToText())
            .Text(certificate.public_key_kind())
            .Bytes(certificate.public_key_sha256())
            .Time(certificate.not_before())
            .Time(certificate.not_after())
            .Bytes(certificate.der())
            .Bytes(certificate.sha256())));
  }
  void AddClientAuthority(const Certificate& certificate, std::string_view purpose = "manufacturing", int cluster = 1) {
    ASSERT_OK(superuser_->Execute(
        "INSERT INTO client_authority (cluster_id, purpose, sha256, der, subject, not_after, added_by) VALUES ($1, $2, "
        "$3, $4, $5, $6, 'test')",
        Parameters()
            .Int64(cluster)
            .Text(purpose)
            .Bytes(certificate.sha256())
            .Bytes(certificate.der())
            .Text(certificate.subject().ToText())
            .Time(certificate.not_after())));
  }
  // With its signer's key identifier, as the trust store keeps it.
  void AddCrl(const Party& issuer, const CrlForm& form, int cluster = 1) {
    AddCrl(issuer, form, issuer.certificate.subject_key_id(), cluster);
  }
  void AddCrl(const Party& issuer, const CrlForm& form, ByteView authority_key_id, int cluster = 1) {
    const CertificateRevocationList crl = *CertificateRevocationList::FromBytes(AsBytes(MakeCrl(issuer, form)));
    ASSERT_OK(
        superuser_->Execute("INSERT INTO trust_crl (cluster_id, issuer_key, authority_key_id, sha256, der, issuer, "
                            "crl_number, this_update, "
                            "next_update, revoked_count, added_by, commit_number) VALUES ($1, $2, $3, $4, $5, $6, '', "
                            "$7, $8, 0, 'test', 1)",
                            Parameters()
                                .Int64(cluster)
                                .Bytes(crl.issuer().key())
                                .Bytes(authority_key_id)
                                .Bytes(crl.sha256())
                                .Bytes(crl.der())
                                .Text(crl.issuer().ToText())
                                .Time(crl.this_update())
                                .Time(crl.next_update())));
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::optional<Connection> connection_;
};

}  // namespace trustline
