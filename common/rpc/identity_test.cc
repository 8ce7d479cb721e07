#include "common/rpc/identity.h"

#include <sys/stat.h>

#include <filesystem>

#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/rpc_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(IdentityTest, ReadsAndWritesUris) {
  ASSERT_OK_AND_ASSIGN(Identity identity, Identity::Parse("trustline:default/person/Jane.Doe_1@example"));
  EXPECT_EQ(identity, (Identity{"default", "person", "Jane.Doe_1@example"}));
  EXPECT_TRUE(identity.is_person());
  EXPECT_EQ(identity.ToUri(), "trustline:default/person/Jane.Doe_1@example");
  ASSERT_OK_AND_ASSIGN(Identity service, Identity::Parse("trustline:site-2/tvsd/node1"));
  EXPECT_FALSE(service.is_person());
}

TEST(IdentityTest, RefusesEverythingElse) {
  for (const std::string uri :
       {"", "trustline:", "trustline:default", "trustline:default/person", "trustline:default/person/",
        "trustline:/person/a", "trustline:Default/person/a", "trustline:-a/person/a", "trustline:default/robot/a",
        "trustline:default/person/a/b", "trustline:default/person/a b", "https:default/person/a",
        "Trustline:default/person/a", "trustline:default//a"}) {
    EXPECT_THAT(Identity::Parse(uri), StatusIs(absl::StatusCode::kInvalidArgument)) << uri;
  }
  EXPECT_THAT(Identity::Parse("trustline:default/person/" + std::string(65, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Identity::Parse(std::string("trustline:default/person/a\0b", 28)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

class IdentityAuthorityTest : public testing::Test {
 protected:
  IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  PrivateKey key_ = *PrivateKey::Generate(KeyKind::kEcP256);
  const Identity identity_{"default", "tvsd", "node1"};
  TemporaryDirectory folder_;
};

TEST_F(IdentityAuthorityTest, IssuesExactlyTheIdentity) {
  ASSERT_OK_AND_ASSIGN(CertificateRequest request, CertificateRequest::Build(key_, identity_.ToUri()));
  const absl::Time now = absl::Now();
  ASSERT_OK_AND_ASSIGN(Certificate certificate, authority_.IssueIdentity(request, identity_, now));
  EXPECT_THAT(certificate.uri_names(), ElementsAre(identity_.ToUri()));
  EXPECT_FALSE(certificate.is_ca());
  EXPECT_OK(CheckIssuedBy(certificate, authority_.certificate()));
  EXPECT_TRUE(key_.MatchesCertificate(certificate));
  EXPECT_LE(absl::AbsDuration(certificate.not_after() - (now + kIdentityLifetime)), absl::Seconds(1));
}

TEST_F(IdentityAuthorityTest, RefusesARequestForAnotherIdentity) {
  ASSERT_OK_AND_ASSIGN(CertificateRequest other, CertificateRequest::Build(key_, "trustline:default/person/admin"));
  EXPECT_THAT(authority_.IssueIdentity(other, identity_, absl::Now()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("another identity")));
  ASSERT_OK_AND_ASSIGN(CertificateRequest named,
                       CertificateRequest::Build(key_, identity_.ToUri(), {"node1.example.org"}));
  EXPECT_THAT(authority_.IssueIdentity(named, identity_, absl::Now()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("DNS name")));
}

TEST_F(IdentityAuthorityTest, SurvivesItsFiles) {
  const std::string certificate = folder_.path() / "authority.crt";
  const std::string key = folder_.path() / "authority.key";
  const std::string passphrase = folder_.WriteFile("passphrase", "correct horse\n");
  chmod(passphrase.c_str(), 0600);
  ASSERT_OK(authority_.Save(certificate, key, passphrase));
  ASSERT_OK_AND_ASSIGN(IdentityAuthority loaded, IdentityAuthority::Load(certificate, key, passphrase));
  EXPECT_EQ(loaded.certificate(), authority_.certificate());
  const std::string wrong = folder_.WriteFile("wrong", "battery staple\n");
  chmod(wrong.c_str(), 0600);
  EXPECT_THAT(IdentityAuthority::Load(certificate, key, wrong), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(IdentityAuthorityTest, SignsForOnePurpose) {
  const std::string message = "what is signed";
  ASSERT_OK_AND_ASSIGN(const std::string signature, authority_.Sign("audit checkpoint", AsBytes(message)));
  const auto check = [&](const Certificate& authority, std::string_view purpose, std::string_view text,
                         std::string_view given) {
    return CheckAuthoritySignature(authority, purpose, AsBytes(text), AsBytes(given));
  };
  const Certificate& authority = authority_.certificate();
  EXPECT_OK(check(authority, "audit checkpoint", message, signature));
  constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
  EXPECT_THAT(check(authority, "audit checkpoint", "what is signed!", signature), StatusIs(kDenied));
  EXPECT_THAT(check(authority, "audit", " checkpointwhat is signed", signature), StatusIs(kDenied));
  EXPECT_THAT(check(authority, "audit checkpoint", message, ""), StatusIs(kDenied));
  EXPECT_THAT(check(authority, "audit checkpoint", message, signature + "x"), StatusIs(kDenied));
  EXPECT_THAT(check(IdentityAuthority::Create(absl::Now())->certificate(), "audit checkpoint", message, signature),
              StatusIs(kDenied));
}

class IdentityStoreTest : public IdentityAuthorityTest {
 protected:
  IdentityFiles files_ = IdentityFilesIn(folder_.path());
  Certificate certificate_ = *authority_.IssueIdentity(key_, identity_, absl::Now());
};

TEST_F(IdentityStoreTest, WritesWhatItReads) {
  ASSERT_OK(WriteIdentity(files_, key_, certificate_, authority_.certificate()));
  ASSERT_OK_AND_ASSIGN(LoadedIdentity loaded, LoadIdentity(files_));
  EXPECT_EQ(loaded.identity, identity_);
  EXPECT_EQ(loaded.certificate, certificate_);
  EXPECT_EQ(loaded.authority, authority_.certificate());
  struct stat facts;
  ASSERT_EQ(stat(files_.key.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(IdentityStoreTest, FinishesAWriteThatEndedBetweenKeyAndCertificate) {
  ASSERT_OK(WriteIdentity(files_, key_, certificate_, authority_.certificate()));
  ASSERT_OK_AND_ASSIGN(PrivateKey next_key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSERT_OK_AND_ASSIGN(Certificate next, authority_.IssueIdentity(next_key, identity_, absl::Now()));
  // Before the key: the old identity holds.
  folder_.WriteFile("identity.crt.next", next.ToPem() + authority_.certificate().ToPem());
  ASSERT_OK_AND_ASSIGN(LoadedIdentity before, LoadIdentity(files_));
  EXPECT_EQ(before.certificate, certificate_);
  // After the key: the new one does.
  ASSERT_OK(next_key.WriteKeyFile(files_.key));
  ASSERT_OK_AND_ASSIGN(LoadedIdentity after, LoadIdentity(files_));
  EXPECT_EQ(after.certificate, next);
  EXPECT_FALSE(std::filesystem::exists(files_.certificate + ".next"));
}

TEST_F(IdentityStoreTest, RefusesFilesThatDoNotBelongTogether) {
  ASSERT_OK(WriteIdentity(files_, key_, certificate_, authority_.certificate()));
  ASSERT_OK_AND_ASSIGN(PrivateKey other_key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSERT_OK_AND_ASSIGN(IdentityAuthority other, IdentityAuthority::Create(absl::Now()));
  EXPECT_THAT(WriteIdentity(files_, other_key, certificate_, authority_.certificate()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(WriteIdentity(files_, key_, certificate_, other.certificate()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not issued by")));
  folder_.WriteFile("authority.crt", other.certificate().ToPem());
  EXPECT_THAT(LoadIdentity(files_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("do not belong together")));
  ASSERT_OK(other_key.WriteKeyFile(files_.key));
  EXPECT_THAT(LoadIdentity(files_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not the key of")));
}

}  // namespace
}  // namespace trustline
