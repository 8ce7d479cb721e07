#include "common/x509/crl.h"

#include <openssl/pem.h>

#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct CrlForm {
  std::vector<std::pair<long, int>> revoked;  // serial, reason or -1
  std::vector<std::pair<int, std::string>> extensions;
  std::string entry_issuer;  // makes the first entry one of an indirect CRL
  bool next_update = true;
};

std::string MakeCrl(const Party& issuer, const CrlForm& form) {
  const X509CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate.x509()));
  const Asn1TimePtr now(ASN1_TIME_set(nullptr, absl::ToTimeT(kTestNow)));
  X509_CRL_set1_lastUpdate(crl.get(), now.get());
  const Asn1TimePtr later(ASN1_TIME_set(nullptr, absl::ToTimeT(kTestNow + absl::Hours(24))));
  if (form.next_update) X509_CRL_set1_nextUpdate(crl.get(), later.get());
  for (const auto& [serial, reason] : form.revoked) {
    X509_REVOKED* revoked = X509_REVOKED_new();
    const Asn1IntegerPtr number(ASN1_INTEGER_new());
    ASN1_INTEGER_set(number.get(), serial);
    X509_REVOKED_set_serialNumber(revoked, number.get());
    X509_REVOKED_set_revocationDate(revoked, now.get());
    if (reason >= 0) {
      const Asn1EnumeratedPtr value(ASN1_ENUMERATED_new());
      ASN1_ENUMERATED_set(value.get(), reason);
      X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, value.get(), 0, 0);
    }
    if (!form.entry_issuer.empty()) {
      const X509ExtensionPtr extension(
          X509V3_EXT_nconf_nid(nullptr, nullptr, NID_certificate_issuer, form.entry_issuer.c_str()));
      EXPECT_EQ(X509_REVOKED_add_ext(revoked, extension.get(), -1), 1);
    }
    X509_CRL_add0_revoked(crl.get(), revoked);
  }
  for (const auto& [nid, value] : form.extensions) {
    X509V3_CTX context = {};
    X509V3_set_ctx(&context, issuer.certificate.x509(), nullptr, nullptr, crl.get(), 0);
    X509V3_set_nconf(&context, nullptr);
    const X509ExtensionPtr extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
    EXPECT_NE(extension, nullptr) << value;
    X509_CRL_add_ext(crl.get(), extension.get(), -1);
  }
  X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
}

const Party& Issuer() {
  static const Party* const issuer = new Party(MakeSelfSigned(AuthorityForm("CRL issuer")));
  return *issuer;
}

std::string ErrorOf(std::string_view bytes) {
  const auto crl = CertificateRevocationList::FromBytes(AsBytes(bytes));
  return crl.ok() ? "" : std::string(StatusMessage(crl.status()));
}

std::vector<std::string> Revoked(const CertificateRevocationList& crl) {
  std::vector<std::string> entries;
  crl.ForEachRevoked([&entries](const RevokedCertificate& revoked) {
    EXPECT_EQ(revoked.revoked_at, kTestNow);
    entries.push_back(fmt::format("{} {}", ToHex(revoked.serial), RevocationReasonName(revoked.reason)));
  });
  return entries;
}

TEST(CrlTest, ReadsWhatIsRevoked) {
  const std::string der = MakeCrl(Issuer(), {.revoked = {{0x80, -1}, {0x1234, 1}, {7, 8}, {9, 4}},
                                             .extensions = {{NID_authority_key_identifier, "keyid:always"}}});
  const auto crl = CertificateRevocationList::FromBytes(AsBytes(der));
  ASSERT_TRUE(crl.ok()) << crl.status();
  EXPECT_THAT(Revoked(*crl), ElementsAre("80 unspecified", "1234 keyCompromise", "09 superseded"));
  EXPECT_EQ(crl->revoked_count(), 4u);
  EXPECT_EQ(crl->issuer(), Issuer().certificate.subject());
  EXPECT_EQ(crl->this_update(), kTestNow);
  EXPECT_EQ(crl->next_update(), kTestNow + absl::Hours(24));
  EXPECT_FALSE(crl->number().has_value());
  EXPECT_EQ(AsText(crl->authority_key_id()), AsText(Issuer().certificate.subject_key_id()));
  EXPECT_EQ(AsText(crl->der()), der);
  EXPECT_EQ(crl->sha256(), Sha256(AsBytes(der)));
  EXPECT_TRUE(crl->VerifySignedBy(Issuer().certificate).ok());
}

TEST(CrlTest, ReadsAnEmptyOneWithoutNextUpdate) {
  const auto crl = CertificateRevocationList::FromBytes(AsBytes(MakeCrl(Issuer(), {.next_update = false})));
  ASSERT_TRUE(crl.ok()) << crl.status();
  EXPECT_TRUE(Revoked(*crl).empty());
  EXPECT_FALSE(crl->next_update().has_value());
}

TEST(CrlTest, ReadsGnuTlsCrlInPem) {
  const ScratchFolder folder;
  const std::string authority = folder.Write("ca.pem", ReadVector("capf.pem"));
  const std::string revoked = folder.Write("lsc.pem", ReadVector("capf-issued-lsc.pem"));
  folder.Write("template", "crl_next_update = 30\ncrl_number = 300\n");
  const auto made = RunCommand(fmt::format(
      "certtool --generate-crl --load-ca-certificate {0} --load-ca-privkey {0} --load-certificate {1} --template {2} "
      "--outfile {3}",
      authority, revoked, folder.Path("template"), folder.Path("crl.pem")));
  ASSERT_EQ(made.exit_status, 0) << made.output;
  const auto crl = CertificateRevocationList::FromBytes(AsBytes(ReadTestFile(folder.Path("crl.pem"))));
  ASSERT_TRUE(crl.ok()) << crl.status();
  const Certificate lsc = *Certificate::FromPem(ReadTestFile(revoked));
  std::vector<std::string> serials;
  crl->ForEachRevoked([&serials](const RevokedCertificate& entry) { serials.push_back(ToHex(entry.serial)); });
  EXPECT_THAT(serials, ElementsAre(ToHex(lsc.serial())));
  EXPECT_EQ(crl->number(), "\x01\x2c");
  EXPECT_TRUE(crl->VerifySignedBy(*Certificate::FromPem(ReadTestFile(authority))).ok());
}

TEST(CrlTest, RefusesIncompleteCrls) {
  const auto error = [](int nid, const std::string& value) {
    return ErrorOf(MakeCrl(Issuer(), {.extensions = {{nid, value}}}));
  };
  // deltaCRLIndicator 1.
  EXPECT_THAT(error(NID_delta_crl, "critical,DER:02:01:01"), HasSubstr("delta CRL"));
  // IssuingDistributionPoint with one flag each: [1] user, [2] CA, [3] reasons, [4] indirect, [5] attribute.
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:30:03:81:01:ff"), HasSubstr("only for end-entity"));
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:30:03:82:01:ff"), HasSubstr("only for CA"));
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:30:04:83:02:06:40"), HasSubstr("reasons"));
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:30:03:84:01:ff"), HasSubstr("indirect"));
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:30:03:85:01:ff"), HasSubstr("attribute"));
  EXPECT_THAT(error(NID_issuing_distribution_point, "critical,DER:05:00"), HasSubstr("cannot be read"));
  EXPECT_EQ(error(NID_issuing_distribution_point, "critical,DER:30:00"), "");
  EXPECT_THAT(error(NID_basic_constraints, "critical,CA:TRUE"), HasSubstr("critical extension"));
  EXPECT_EQ(error(NID_basic_constraints, "CA:TRUE"), "");
  EXPECT_THAT(
      ErrorOf(MakeCrl(Issuer(), {.revoked = {{1, -1}}, .entry_issuer = "critical,DER:30:07:82:05:6f:74:68:65:72"})),
      HasSubstr("revoked certificate 1 of the CRL: indirect"));
  EXPECT_THAT(ErrorOf(MakeCrl(Issuer(), {.revoked = {{1, 7}}})), HasSubstr("no revocation reason 7"));
}

TEST(CrlTest, RefusesDamage) {
  const std::string der = MakeCrl(Issuer(), {.revoked = {{1, 1}}});
  for (size_t size = 0; size < der.size(); ++size) ASSERT_NE(ErrorOf(der.substr(0, size)), "") << size;
  EXPECT_THAT(ErrorOf(der + "x"), HasSubstr("left over"));
  EXPECT_THAT(ErrorOf(ReadVector("tvs.pem")), HasSubstr("not a CRL"));
  EXPECT_THAT(ErrorOf(std::string(AsText(Issuer().certificate.der()))), HasSubstr("not a CRL"));
  for (size_t i = 0; i < der.size(); ++i) {
    std::string damaged = der;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    const auto crl = CertificateRevocationList::FromBytes(AsBytes(damaged));
    EXPECT_FALSE(crl.ok() && crl->VerifySignedBy(Issuer().certificate).ok()) << i;
  }
}

TEST(CrlTest, SignatureHasToBeTheIssuers) {
  const auto crl = *CertificateRevocationList::FromBytes(AsBytes(MakeCrl(Issuer(), {})));
  const auto error = [&crl](const Certificate& issuer) {
    const absl::Status status = crl.VerifySignedBy(issuer);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(StatusMessage(status));
  };
  EXPECT_THAT(error(MakeSelfSigned(AuthorityForm("another")).certificate),
              HasSubstr("issued by CN=CRL issuer, not by"));
  EXPECT_THAT(error(MakeSelfSigned(AuthorityForm("CRL issuer")).certificate), HasSubstr("signature"));
  CertificateTemplate may_not = AuthorityForm("CRL issuer");
  may_not.key_usage = {"keyCertSign"};
  EXPECT_THAT(error(*BuildSelfSigned(may_not, Issuer().key)), HasSubstr("cRLSign"));
}

}  // namespace
}  // namespace trustline
