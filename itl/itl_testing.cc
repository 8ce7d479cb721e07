#include "itl/itl_testing.h"

#include <openssl/x509v3.h>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "tests/support/tvs_form.h"

namespace trustline {

Certificate MakeCertificate(const CertificateTemplate& form) {
  static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kEcP256));
  return *BuildSelfSigned(form, *key);
}

Certificate MakeCertificate(std::string_view common_name) {
  CertificateTemplate form = LeafForm(common_name);
  form.not_after = kTestNow + absl::Hours(24 * 365);
  return MakeCertificate(form);
}

const Party& PhoneFacingParty() {
  static const Party* const party = [] {
    PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
    Certificate certificate = *BuildSelfSigned(TvsForm("tvs.example", kTestNow), key);
    return new Party{std::move(key), std::move(certificate)};
  }();
  return *party;
}

std::string MakeCrl(const Party& issuer, const TestCrl& form) {
  const X509CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate.x509()));
  const Asn1TimePtr this_update(ASN1_TIME_set(nullptr, absl::ToTimeT(form.this_update)));
  X509_CRL_set1_lastUpdate(crl.get(), this_update.get());
  if (form.next_update) {
    const Asn1TimePtr next_update(ASN1_TIME_set(nullptr, absl::ToTimeT(*form.next_update)));
    X509_CRL_set1_nextUpdate(crl.get(), next_update.get());
  }
  for (const long serial : form.revoked) {
    X509RevokedPtr revoked(X509_REVOKED_new());
    const Asn1IntegerPtr number(ASN1_INTEGER_new());
    ASN1_INTEGER_set(number.get(), serial);
    X509_REVOKED_set_serialNumber(revoked.get(), number.get());
    X509_REVOKED_set_revocationDate(revoked.get(), this_update.get());
    X509_CRL_add0_revoked(crl.get(), revoked.release());
  }
  if (!form.number.empty()) {
    const Asn1IntegerPtr number(s2i_ASN1_INTEGER(nullptr, ("0x" + form.number).c_str()));
    X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), 0, 0);
  }
  X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
}

FingerprintPrefix PrefixOf(const Sha256Digest& digest) { return *FingerprintPrefix::Parse(ToHex(digest)); }

void ItlDatabaseTest::SetUp() {
  ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
  ASSERT_OK_AND_ASSIGN(Connection itld, database_->Connect("trustline_itld"));
  itld_.emplace(std::move(itld));
  ASSERT_OK_AND_ASSIGN(Connection superuser, database_->Connect());
  superuser_.emplace(std::move(superuser));
}

absl::StatusOr<ImportResult> ItlDatabaseTest::ImportBytes(std::vector<ImportCandidate> candidates,
                                                          ImportOptions options) {
  return RunInTransaction(*itld_, {}, [&](Connection& connection) -> absl::StatusOr<ImportResult> {
    ASSIGN_OR_RETURN(TrustImport import, TrustImport::Begin(connection, caller(), options, kTestNow));
    const std::span<const ImportCandidate> all = candidates;
    constexpr size_t kBatch = 500;
    for (size_t next = 0; next < all.size(); next += kBatch) {
      RETURN_IF_ERROR(import.AddBatch(all.subspan(next, std::min(kBatch, all.size() - next))));
    }
    return import.Finish();
  });
}

absl::StatusOr<ImportResult> ItlDatabaseTest::Import(const std::vector<Certificate>& certificates,
                                                     ImportOptions options) {
  std::vector<ImportCandidate> candidates;
  for (const Certificate& certificate : certificates) {
    candidates.push_back({std::string(AsText(certificate.der())), fmt::format("file{}.pem", candidates.size() + 1)});
  }
  return ImportBytes(std::move(candidates), std::move(options));
}

int64_t ItlDatabaseTest::Count(const char* sql) {
  const absl::StatusOr<Result> result = superuser_->Execute(sql);
  EXPECT_OK(result);
  return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
}

std::string ItlDatabaseTest::Text(const char* sql) {
  const absl::StatusOr<Result> result = superuser_->Execute(sql);
  EXPECT_OK(result);
  return result.ok() ? result->Value<std::string>().value_or("") : "";
}

void ItlDatabaseTest::RunByHand(const std::string& sql) { EXPECT_OK(superuser_->ExecuteScript(sql)); }

}  // namespace trustline
