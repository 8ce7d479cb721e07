#include "itl/list/list_signers.h"

#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class ListSignersTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    ASSERT_OK(InStore([](Connection&, ListStore& store) { return store.CreatePolicy(TestListPolicy()).status(); }));
  }
  template <typename Body>
  auto With(Body body) {
    const TrustStoreCaller actor = caller();
    return InStore([&](Connection& connection, ListStore&) {
      ListSigners signers(connection, actor, *keys_, now_.Now());
      return body(signers);
    });
  }
  absl::StatusOr<Certificate> MakeRecovery(const ListPolicy& policy = TestListPolicy(),
                                           std::string_view reason = "first") {
    return With([&](ListSigners& signers) { return signers.MakeRecovery(policy, reason); });
  }
  absl::Status Import(const CertificateTemplate& form, KeyKind kind) {
    PrivateKey key = *PrivateKey::Generate(kind);
    const Certificate certificate = *BuildSelfSigned(form, key);
    return With([&](ListSigners& signers) {
      return signers.ImportRecovery({certificate, *PrivateKey::FromDer(AsBytes(DerOf(key)))}, "an older system's");
    });
  }
  static std::string DerOf(const PrivateKey& key) {
    unsigned char* der = nullptr;
    const int size = i2d_PrivateKey(key.get(), &der);
    const OpenSslBytesPtr owner(der);
    return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  }
  static CertificateTemplate GoodForm() {
    CertificateTemplate form = TvsForm("recovery.example", kTestNow);
    form.subject = *DistinguishedName::FromAttributes({{"CN", "ITLRECOVERY_old"}, {"O", "Example"}});
    return form;
  }
  // "ROLE ORIGIN LISTED" of each entry of the certificate.
  std::string Entries(const Certificate& certificate) {
    return Text(
        fmt::format("SELECT string_agg(role || ' ' || origin || ' ' || listed || ' ' || ttl_seconds, ', ' ORDER BY "
                    "role) FROM trust_entry WHERE removed_at IS NULL AND sha256 = decode('{}', 'hex')",
                    ToHex(certificate.sha256()))
            .c_str());
  }
  size_t KeyFiles() const {
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "keys"))
      files += entry.exists() ? 1 : 0;
    return files;
  }
};

TEST_F(ListSignersTest, ItlRecoveryLastsTwentyYears) {
  ASSERT_OK_AND_ASSIGN(const Certificate recovery, MakeRecovery());
  EXPECT_THAT(recovery.subject().ToText(), MatchesRegex("CN=ITLRECOVERY-[0-9a-f]{8},O=Example,OU=Phones"));
  EXPECT_TRUE(recovery.is_self_issued());
  EXPECT_TRUE(recovery.is_ca());
  EXPECT_EQ(recovery.public_key_kind(), "RSA 2048");
  EXPECT_EQ(recovery.not_before(), kTestNow - absl::Hours(1));
  EXPECT_EQ(recovery.not_after(), YearsAfter(kTestNow, 20));
  EXPECT_EQ(X509_get_key_usage(recovery.x509()) & (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_KEY_CERT_SIGN),
            static_cast<uint32_t>(KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_KEY_CERT_SIGN));
  EXPECT_EQ(Entries(recovery), "0 system false 86400");
  ASSERT_THAT(Signers(), SizeIs(1));
  EXPECT_EQ(Signers()[0].tftp_server, "");
  EXPECT_EQ(Signers()[0].certificate, recovery);
  EXPECT_EQ(Signers()[0].reason, "first");
  EXPECT_EQ(Text("SELECT created_by FROM list_signer"), kTestActor);
  ListPolicy policy = TestListPolicy();
  policy.recovery_years = 5;
  ASSERT_OK_AND_ASSIGN(const Certificate shorter, MakeRecovery(policy));
  EXPECT_EQ(shorter.not_after(), YearsAfter(kTestNow, 5));
  EXPECT_NE(shorter.subject().ToText(), recovery.subject().ToText());
}

TEST_F(ListSignersTest, ACallManagerCertificateLastsFiveYearsAndHasTwoRoles) {
  ListPolicy policy = TestListPolicy();
  const auto make = [&](const char* server) {
    return With([&](ListSigners& signers) { return signers.MakeCallManager(policy, server, "tftp.example", "new"); });
  };
  ASSERT_OK_AND_ASSIGN(const Certificate both, make("tftp1"));
  EXPECT_THAT(both.subject().ToText(), AllOf(HasSubstr("CN="), HasSubstr("tftp"), HasSubstr(",O=Example,OU=Phones")));
  EXPECT_THAT(both.dns_names(), ElementsAre("tftp.example"));
  EXPECT_EQ(both.public_key_kind(), "RSA 2048");
  EXPECT_EQ(both.not_after(), YearsAfter(kTestNow, 5));
  EXPECT_EQ(Entries(both), "0 system false 86400, 2 system false 86400");
  policy.tftp_role = CertificateRole::kTftp;
  ASSERT_OK_AND_ASSIGN(const Certificate tftp, make("tftp2"));
  EXPECT_EQ(Entries(tftp), "0 system false 86400, 3 system false 86400");
  ASSERT_THAT(Signers(), SizeIs(2));
  EXPECT_EQ(Signers()[0].tftp_server, "tftp1");
  EXPECT_EQ(Signers()[1].certificate, tftp);
}

TEST_F(ListSignersTest, TheKeyIsAFileOfItsOwner) {
  ASSERT_OK_AND_ASSIGN(const Certificate recovery, MakeRecovery());
  const StoredSigner signer = Signers().at(0);
  EXPECT_EQ(signer.key_name, KeyName(recovery.public_key_sha256()));
  struct stat info = {};
  ASSERT_EQ(stat(KeyPath(signer).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_THAT(ReadTestFile(KeyPath(signer)), HasSubstr("BEGIN ENCRYPTED PRIVATE KEY"));
  // As after a restart.
  ASSERT_OK_AND_ASSIGN(const KeyFolder::Key key, NewKeys()->Find(signer.key_name));
  EXPECT_TRUE(key->MatchesCertificate(recovery));
}

TEST_F(ListSignersTest, TheOneBeforeStaysVouchedFor) {
  ASSERT_OK_AND_ASSIGN(const Certificate first, MakeRecovery());
  ASSERT_OK_AND_ASSIGN(const Certificate second, MakeRecovery(TestListPolicy(), "the first leaked"));
  ASSERT_THAT(Signers(), SizeIs(1));
  EXPECT_EQ(Signers()[0].certificate, second);
  EXPECT_EQ(Signers()[0].reason, "the first leaked");
  EXPECT_EQ(Entries(first), "0 system false 86400");
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE replaced_at IS NOT NULL"), 1);
  EXPECT_EQ(KeyFiles(), 2u);
}

TEST_F(ListSignersTest, WhatIsNotCommittedSignsNothing) {
  EXPECT_THAT(With([](ListSigners& signers) -> absl::Status {
                EXPECT_OK(signers.MakeRecovery(TestListPolicy(), "first"));
                return absl::CancelledError("no");
              }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(Signers(), SizeIs(0));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0);
  EXPECT_EQ(KeyFiles(), 1u);
}

TEST_F(ListSignersTest, AKeyFromElsewhereBecomesTheRecoveryKey) {
  ASSERT_OK(MakeRecovery());
  ASSERT_OK(Import(GoodForm(), KeyKind::kRsa2048));
  const StoredSigner signer = Signers().at(0);
  EXPECT_EQ(signer.certificate.subject().ToText(), "CN=ITLRECOVERY_old,O=Example");
  EXPECT_EQ(signer.reason, "an older system's");
  EXPECT_EQ(Entries(signer.certificate), "0 system false 86400");
  ASSERT_OK_AND_ASSIGN(const KeyFolder::Key key, NewKeys()->Find(signer.key_name));
  EXPECT_TRUE(key->MatchesCertificate(signer.certificate));
}

TEST_F(ListSignersTest, KeysThatPhonesCannotUseAreRefused) {
  ASSERT_OK_AND_ASSIGN(const Certificate before, MakeRecovery());
  const auto refused = [&](const CertificateTemplate& form, KeyKind kind, const char* words) {
    EXPECT_THAT(Import(form, kind), StatusIs(kRefused, HasSubstr(words)));
  };
  refused(GoodForm(), KeyKind::kEcP256, "the key is EC secp256r1, and phones verify trust lists with RSA 2048");
  refused(GoodForm(), KeyKind::kRsa3072, "the key is RSA 3072");
  refused(GoodForm(), KeyKind::kRsa4096, "the key is RSA 4096");
  CertificateTemplate form = GoodForm();
  form.not_before = kTestNow - absl::Hours(48);
  form.not_after = kTestNow - absl::Seconds(1);
  refused(form, KeyKind::kRsa2048, "CN=ITLRECOVERY_old,O=Example has expired (2026-11-30T23:59:59Z)");
  form = GoodForm();
  form.not_before = kTestNow + absl::Hours(1);
  refused(form, KeyKind::kRsa2048, "is not valid before 2026-12-01T01:00:00Z");
  form = GoodForm();
  form.key_usage = {"keyEncipherment", "keyCertSign"};
  refused(form, KeyKind::kRsa2048, "its key usage lacks digitalSignature");
  ASSERT_THAT(Signers(), SizeIs(1));
  EXPECT_EQ(Signers()[0].certificate, before);
  EXPECT_EQ(KeyFiles(), 1u);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 1);
}

}  // namespace
}  // namespace trustline
