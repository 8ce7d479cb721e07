#include "ca/profile/phone_facing.h"

#include "common/bytes/bytes.h"
#include "common/x509/x509_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

PhoneFacingSubject VectorSubject() {
  return {.node = "node1", .host = "cucm-pub.example", .organization = "Example", .organizational_unit = "Voice"};
}

absl::StatusOr<Certificate> Make(const PhoneFacingProfile& profile) {
  auto form = PhoneFacingTemplate(profile, kTestNow);
  if (!form.ok()) return form.status();
  return BuildSelfSigned(*form, *PrivateKey::Generate(profile.key_kind));
}

// What OpenSSL reads out of a certificate, one field or extension at a time.
std::string Field(const Certificate& certificate, std::string_view option) {
  const ScratchFolder folder;
  const CommandResult read = RunCommand(fmt::format("openssl x509 -noout -nameopt RFC2253 {} -in {}", option,
                                                    folder.Write("c.pem", certificate.ToPem())));
  EXPECT_EQ(read.exit_status, 0) << read.output;
  return read.output;
}

// All but keys, times and what is computed from them.
void ExpectTheFormOf(const Certificate& certificate, const std::string& vector_file) {
  const Certificate vector = *Certificate::FromPem(ReadVector(vector_file));
  for (const char* field : {"-ext basicConstraints", "-ext keyUsage", "-ext extendedKeyUsage", "-ext subjectAltName",
                            "-subject", "-issuer"}) {
    const std::string wanted = Field(vector, field);
    EXPECT_THAT(wanted, Not(HasSubstr("No extensions"))) << vector_file << " " << field;
    EXPECT_EQ(Field(certificate, field), wanted) << vector_file << " " << field;
  }
  EXPECT_EQ(X509_get_ext_count(certificate.x509()), X509_get_ext_count(vector.x509())) << vector_file;
  EXPECT_EQ(certificate.public_key_kind(), vector.public_key_kind()) << vector_file;
  EXPECT_EQ(X509_get_version(certificate.x509()), X509_get_version(vector.x509())) << vector_file;
  EXPECT_EQ(certificate.subject_key_id().size(), vector.subject_key_id().size()) << vector_file;
  // The curve's own digest signs here, SHA-256 in the vector; phones take both.
  if (certificate.public_key_kind() != "EC secp384r1") {
    EXPECT_EQ(X509_get_signature_nid(certificate.x509()), X509_get_signature_nid(vector.x509())) << vector_file;
  }
}

TEST(PhoneFacingTest, EachLooksLikeItsVector) {
  PhoneFacingProfile tvs = NewPhoneFacingProfile(PhoneFacingKind::kTvs, VectorSubject());
  EXPECT_EQ(tvs.common_name, "TVS-node1-cucm-pub.example");
  EXPECT_EQ(tvs.dns_name, "cucm-pub.example");
  // The other system's way to name its own.
  tvs.common_name = tvs.dns_name = "cucm-pub.example-tvs";
  ASSERT_OK_AND_ASSIGN(const Certificate tvs_certificate, Make(tvs));
  ExpectTheFormOf(tvs_certificate, "tvs.pem");

  PhoneFacingProfile capf = NewPhoneFacingProfile(PhoneFacingKind::kCapf, VectorSubject());
  EXPECT_THAT(capf.common_name, MatchesRegex("CAPF-[0-9a-f]{8}"));
  EXPECT_EQ(capf.dns_name, "capf-" + capf.common_name.substr(5));
  EXPECT_NE(NewPhoneFacingProfile(PhoneFacingKind::kCapf, VectorSubject()).common_name, capf.common_name);
  capf.common_name = "CAPF-5a1b2c3d";
  capf.dns_name = "capf-5a1b2c3d";
  ASSERT_OK_AND_ASSIGN(const Certificate capf_certificate, Make(capf));
  ExpectTheFormOf(capf_certificate, "capf.pem");

  ASSERT_OK_AND_ASSIGN(const Certificate call_manager,
                       Make(NewPhoneFacingProfile(PhoneFacingKind::kCallManager, VectorSubject())));
  ExpectTheFormOf(call_manager, "callmanager.pem");

  PhoneFacingProfile recovery = NewPhoneFacingProfile(PhoneFacingKind::kItlRecovery, VectorSubject());
  EXPECT_THAT(recovery.common_name, MatchesRegex("ITLRECOVERY-[0-9a-f]{8}"));
  EXPECT_EQ(recovery.dns_name, "itlrecovery-" + recovery.common_name.substr(12));
  recovery.common_name = recovery.dns_name = "itlrecovery.example";
  recovery.years = 20;
  ASSERT_OK_AND_ASSIGN(const Certificate recovery_certificate, Make(recovery));
  ExpectTheFormOf(recovery_certificate, "itlrecovery.pem");
  EXPECT_EQ(recovery_certificate.not_after(), YearsAfter(kTestNow, 20));

  PhoneFacingSubject web = VectorSubject();
  web.host = "directory.example";
  web.organizational_unit = "Web";
  ASSERT_OK_AND_ASSIGN(const Certificate https, Make(NewPhoneFacingProfile(PhoneFacingKind::kHttps, web)));
  ExpectTheFormOf(https, "appserver-ec.pem");
}

TEST(PhoneFacingTest, OtherProgramsAcceptThem) {
  for (const PhoneFacingKind kind :
       {PhoneFacingKind::kTvs, PhoneFacingKind::kCapf, PhoneFacingKind::kCallManager, PhoneFacingKind::kHttps}) {
    const PhoneFacingProfile profile = NewPhoneFacingProfile(kind, VectorSubject());
    const auto form = PhoneFacingTemplate(profile, absl::Now());
    ASSERT_OK(form);
    ASSERT_OK_AND_ASSIGN(const Certificate certificate,
                         BuildSelfSigned(*form, *PrivateKey::Generate(profile.key_kind)));
    EXPECT_OK(certificate.CheckImportable());
    const ScratchFolder folder;
    const std::string path = folder.Write("c.pem", certificate.ToPem());
    for (const char* purpose : {"sslserver", "sslclient"}) {
      const CommandResult verified =
          RunCommand(fmt::format("openssl verify -x509_strict -purpose {} -CAfile {} {}", purpose, path, path));
      EXPECT_EQ(verified.exit_status, 0) << profile.common_name << ": " << verified.output;
    }
    const CommandResult gnutls =
        RunCommand(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", path, path));
    EXPECT_EQ(gnutls.exit_status, 0) << profile.common_name << ": " << gnutls.output;
  }
}

TEST(PhoneFacingTest, LastsFiveYears) {
  ASSERT_OK_AND_ASSIGN(const Certificate certificate,
                       Make(NewPhoneFacingProfile(PhoneFacingKind::kHttps, VectorSubject())));
  EXPECT_EQ(certificate.not_before(), kTestNow - absl::Hours(1));
  EXPECT_EQ(certificate.not_after(), absl::FromCivil(absl::CivilDay(2031, 12, 1), absl::UTCTimeZone()));
}

TEST(PhoneFacingTest, ASuccessorHasTheSameNamesAndForm) {
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const Certificate present = *Certificate::FromPem(ReadVector("tvs.pem"));
  ASSERT_OK_AND_ASSIGN(const Certificate successor, RenewPhoneFacing(present, key, kTestNow));
  ExpectTheFormOf(successor, "tvs.pem");
  EXPECT_TRUE(key.MatchesCertificate(successor));
  EXPECT_NE(ToHex(successor.serial()), ToHex(present.serial()));
  EXPECT_EQ(successor.not_after(), absl::FromCivil(absl::CivilDay(2031, 12, 1), absl::UTCTimeZone()));
  // Of another kind of key, and several times.
  const PrivateKey other = *PrivateKey::Generate(KeyKind::kEcP384);
  ASSERT_OK_AND_ASSIGN(const Certificate second, RenewPhoneFacing(successor, other, kTestNow));
  EXPECT_EQ(second.subject(), present.subject());
  EXPECT_EQ(second.public_key_kind(), "EC secp384r1");

  CertificateTemplate form = LeafForm("outside.example");
  form.dns_names = {"outside.example"};
  EXPECT_THAT(RenewPhoneFacing(MakeSelfSigned(form).certificate, key, kTestNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has no OU")));
  form.subject = present.subject();
  form.dns_names.clear();
  EXPECT_THAT(RenewPhoneFacing(MakeSelfSigned(form).certificate, key, kTestNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no DNS name")));
}

TEST(PhoneFacingTest, NamesThatNoCertificateCanHave) {
  PhoneFacingSubject subject = VectorSubject();
  subject.host = std::string(63, 'h') + ".example";
  const PhoneFacingProfile tvs = NewPhoneFacingProfile(PhoneFacingKind::kTvs, subject);
  EXPECT_EQ(tvs.common_name.size(), 64u);
  EXPECT_EQ(tvs.dns_name, subject.host);
  EXPECT_OK(Make(tvs));

  subject = VectorSubject();
  subject.organization = std::string(65, 'o');
  EXPECT_THAT(PhoneFacingTemplate(NewPhoneFacingProfile(PhoneFacingKind::kTvs, subject), kTestNow).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  subject = VectorSubject();
  subject.host = "two hosts";
  EXPECT_FALSE(Make(NewPhoneFacingProfile(PhoneFacingKind::kHttps, subject)).ok());
}

TEST(PhoneFacingTest, KeyAndCertificateAreWrittenTogether) {
  const ScratchFolder folder;
  const SecretBytes passphrase("only for this test");
  const std::string passphrase_file = folder.Write("passphrase", passphrase.ExposeSecret());
  const PhoneFacingProfile profile = NewPhoneFacingProfile(PhoneFacingKind::kCapf, VectorSubject());
  ASSERT_OK_AND_ASSIGN(const Certificate certificate,
                       WriteNewPhoneFacing(profile, folder.Path(""), "capf", passphrase, kTestNow));
  EXPECT_EQ(ReadTestFile(folder.Path("capf.crt")), certificate.ToPem());
  EXPECT_EQ(certificate.subject().ToText(), fmt::format("CN={},O=Example,OU=Voice", profile.common_name));
  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::ReadKeyFile(folder.Path("capf.key"), passphrase_file));
  EXPECT_TRUE(key.MatchesCertificate(certificate));
  // Without the passphrase it is of no use.
  EXPECT_FALSE(PrivateKey::ReadKeyFile(folder.Path("capf.key")).ok());
  EXPECT_FALSE(WriteNewPhoneFacing(profile, folder.Path("absent"), "capf", passphrase, kTestNow).ok());
}

}  // namespace
}  // namespace trustline
