#include "common/x509/certificate_builder.h"

#include "common/bytes/bytes.h"
#include "common/x509/certificate_request.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CertificateBuilderTest, OtherProgramsVerifyAnIdentity) {
  const ScratchFolder folder;
  const PrivateKey authority_key = *PrivateKey::Generate(KeyKind::kEcP256);
  const Certificate authority =
      *BuildSelfSigned(*IdentityAuthorityTemplate("Trustline identities", absl::Now()), authority_key);
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  const auto form = IdentityTemplate("trustline:default/tvsd/node-1", {"localhost"}, absl::Now());
  ASSERT_TRUE(form.ok()) << form.status();
  const auto identity = BuildIssued(*form, key.get(), authority, authority_key);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_THAT(identity->uri_names(), ElementsAre("trustline:default/tvsd/node-1"));
  EXPECT_THAT(identity->dns_names(), ElementsAre("localhost"));
  EXPECT_EQ(identity->subject().ToText(), "CN=node-1");
  EXPECT_FALSE(identity->is_ca());
  EXPECT_EQ(AsText(identity->authority_key_id()), AsText(authority.subject_key_id()));
  EXPECT_EQ(identity->not_after() - identity->not_before(), kIdentityLifetime + absl::Hours(1));

  const std::string authority_path = folder.Write("ca.pem", authority.ToPem());
  const std::string identity_path = folder.Write("id.pem", identity->ToPem());
  for (const char* purpose : {"sslserver", "sslclient"}) {
    const auto verified = RunCommand(
        fmt::format("openssl verify -x509_strict -purpose {} -CAfile {} {}", purpose, authority_path, identity_path));
    EXPECT_EQ(verified.exit_status, 0) << verified.output;
  }
  const auto gnutls =
      RunCommand(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", authority_path, identity_path));
  EXPECT_EQ(gnutls.exit_status, 0) << gnutls.output;
}

TEST(CertificateBuilderTest, SerialsArePositiveAndLong) {
  std::set<std::string> serials;
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  for (int i = 0; i < 50; ++i) {
    const Certificate certificate = *BuildSelfSigned(LeafForm("a"), key);
    EXPECT_EQ(ASN1_STRING_type(X509_get0_serialNumber(certificate.x509())), V_ASN1_INTEGER);
    EXPECT_LE(certificate.serial().size(), 16u);
    EXPECT_GE(certificate.serial().size(), 13u);
    serials.insert(ToHex(certificate.serial()));
  }
  EXPECT_EQ(serials.size(), 50u);
}

TEST(CertificateBuilderTest, RefusesWhatWouldBeAWrongCertificate) {
  const Party authority = MakeSelfSigned(AuthorityForm("CA"));
  const PrivateKey other = *PrivateKey::Generate(KeyKind::kEcP256);
  EXPECT_EQ(BuildIssued(LeafForm("a"), other.get(), authority.certificate, other).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const EvpPkeyPtr weak(EVP_RSA_gen(1024));
  EXPECT_FALSE(BuildIssued(LeafForm("a"), weak.get(), authority.certificate, authority.key).ok());
  CertificateTemplate form = LeafForm("a");
  form.not_after = form.not_before;
  EXPECT_FALSE(BuildSelfSigned(form, other).ok());
  for (const char* name : {"", "a b", "a,DNS:b", "a\n"}) {
    form = LeafForm("a");
    form.dns_names = {name};
    EXPECT_FALSE(BuildSelfSigned(form, other).ok()) << name;
  }
  EXPECT_FALSE(BuildSelfSigned(LeafForm(std::string(65, 'a')), other).ok());
  for (const char* uri : {"", "trustline:", "trustline:a/b", "trustline:a/b/", "trustline:/b/c", "trustline:a//c",
                          "trustline:a/b/c/d", "https:a/b/c"}) {
    EXPECT_FALSE(IdentityTemplate(uri, {}, kTestNow).ok()) << uri;
  }
}

TEST(CertificateBuilderTest, AnIssuedCertificateEndsWithItsIssuer) {
  CertificateTemplate form = AuthorityForm("CA");
  form.not_after = kTestNow + absl::Hours(24);
  const Party authority = MakeSelfSigned(form);
  EXPECT_EQ(MakeIssued(LeafForm("a"), authority).certificate.not_after(), form.not_after);
  CertificateTemplate late = LeafForm("a");
  late.not_before = form.not_after;
  late.not_after = late.not_before + absl::Hours(1);
  EXPECT_FALSE(BuildIssued(late, authority.key.get(), authority.certificate, authority.key).ok());
}

TEST(CertificateRequestTest, GoesBothWays) {
  const ScratchFolder folder;
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  const auto request = CertificateRequest::Build(key, "trustline:default/tvsd/node-2", {"node-2.example"});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(request->uri_names(), ElementsAre("trustline:default/tvsd/node-2"));
  EXPECT_THAT(request->dns_names(), ElementsAre("node-2.example"));
  EXPECT_EQ(EVP_PKEY_eq(request->public_key(), key.get()), 1);
  const auto openssl = RunCommand(fmt::format("openssl req -verify -noout -text -inform DER -in {}",
                                              folder.Write("r.der", AsText(request->der()))));
  EXPECT_THAT(openssl.output, AllOf(HasSubstr("verify OK"), HasSubstr("URI:trustline:default/tvsd/node-2")));

  const Party authority = MakeSelfSigned(AuthorityForm("CA"));
  const auto certificate = BuildIssued(*IdentityTemplate(request->uri_names()[0], request->dns_names(), kTestNow),
                                       request->public_key(), authority.certificate, authority.key);
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  EXPECT_TRUE(key.MatchesCertificate(*certificate));
}

TEST(CertificateRequestTest, AsksForASubjectAndDnsNames) {
  const ScratchFolder folder;
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP384);
  const DistinguishedName subject = *DistinguishedName::FromText("CN=tvs.example,O=Example");
  const auto request = CertificateRequest::BuildForSubject(key, subject, {"tvs.example", "tvs2.example"});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->subject(), subject);
  EXPECT_THAT(request->dns_names(), ElementsAre("tvs.example", "tvs2.example"));
  EXPECT_TRUE(request->uri_names().empty());
  const auto openssl = RunCommand(fmt::format("openssl req -verify -noout -text -inform DER -in {}",
                                              folder.Write("r.der", AsText(request->der()))));
  EXPECT_THAT(openssl.output, AllOf(HasSubstr("verify OK"), HasSubstr("DNS:tvs.example, DNS:tvs2.example")));
  EXPECT_FALSE(CertificateRequest::BuildForSubject(key, subject, {"two hosts"}).ok());
  EXPECT_FALSE(CertificateRequest::BuildForSubject(key, subject)->asks_for_extensions());
}

TEST(CertificateRequestTest, ReadsAnotherProgramsRequest) {
  const ScratchFolder folder;
  const auto made =
      RunCommand(fmt::format("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout {} -subj "
                             "/CN=a/O=b -outform DER -out {}",
                             folder.Path("key"), folder.Path("req")));
  ASSERT_EQ(made.exit_status, 0) << made.output;
  const auto request = CertificateRequest::FromDer(AsBytes(ReadTestFile(folder.Path("req"))));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->subject().ToText(), "CN=a,O=b");
  EXPECT_TRUE(request->uri_names().empty());
}

TEST(CertificateRequestTest, RefusesDamage) {
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  const std::string der(AsText(CertificateRequest::Build(key, "trustline:default/tvsd/node-2")->der()));
  for (size_t size = 0; size < der.size(); ++size) {
    ASSERT_FALSE(CertificateRequest::FromDer(AsBytes(der.substr(0, size))).ok()) << size;
  }
  EXPECT_FALSE(CertificateRequest::FromDer(AsBytes(der + '\0')).ok());
  EXPECT_FALSE(CertificateRequest::FromDer(AsBytes(std::string(kMaxCertificateRequestSize + 1, '0'))).ok());
  // The signature covers everything but itself; a changed signature is no signature.
  for (size_t i = 0; i < der.size(); ++i) {
    std::string damaged = der;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
    EXPECT_FALSE(CertificateRequest::FromDer(AsBytes(damaged)).ok()) << i;
  }
  const auto forged = CertificateRequest::FromDer(AsBytes(WithReplaced(AsBytes(der), "node-2", "node-3")));
  EXPECT_THAT(std::string(StatusMessage(forged.status())), HasSubstr("not signed by its own key"));
}

}  // namespace
}  // namespace trustline
