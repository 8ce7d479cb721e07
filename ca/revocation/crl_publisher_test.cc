#include "ca/revocation/crl_publisher.h"

#include <filesystem>

#include "ca/issuance/issuer.h"
#include "ca/trust_store_testing.h"
#include "common/x509/crl.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kPhone[] = "SEP001122334455";

class CrlPublisherTest : public CaTrustStoreTest {
 protected:
  void SetUp() override {
    CaTrustStoreTest::SetUp();
    issuer_ = std::make_unique<Issuer>(IssuerOptions{.public_url = "http://ca.example:9480"}, *pool_, *keys_, clock_);
    publisher_ = MakePublisher(*keys_);
  }

  std::unique_ptr<CrlPublisher> MakePublisher(AuthorityKeys& keys) {
    return std::make_unique<CrlPublisher>(CrlPublisherOptions(), *pool_, keys, *trust_store_, now_, log_, metrics_);
  }
  // Of a cad that shares no key with the others.
  std::unique_ptr<AuthorityKeys> OtherKeys() {
    std::filesystem::create_directory(folder_.path() / "other");
    std::filesystem::permissions(folder_.path() / "other", std::filesystem::perms(0700));
    return *AuthorityKeys::Open(folder_.path() / "other", folder_.path() / "passphrase");
  }

  // A revoked certificate of the device.
  void IssueAndRevoke() {
    ASSERT_OK_AND_ASSIGN(const IssuedLsc issued, issuer_->Issue(Order(kPhone, NewPublicKeyInfo())));
    ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return Revoker(connection, caller()).Revoke(issued.certificate.serial(), RevocationReason::kSuperseded);
    }));
  }
  // As if the newest CRL had been made so long ago.
  void MakeCrlOlder(std::string_view interval) {
    RunByHand(fmt::format("UPDATE ca_crl SET this_update = now() - interval '{}'", interval));
  }
  int64_t Number() { return Count("SELECT coalesce(max(crl_number), 0)::bigint FROM ca_crl"); }
  int64_t Revoked() { return Count("SELECT revoked_count FROM ca_crl"); }

  FakeClock now_{absl::Now()};
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"cad"};
  std::unique_ptr<Issuer> issuer_;
  std::unique_ptr<CrlPublisher> publisher_;
};

TEST_F(CrlPublisherTest, EachCrlIsBroughtToTheTrustStoreOnce) {
  ASSERT_OK(publisher_->Publish());
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 1);
  EXPECT_THAT(store_.crls, SizeIs(1));
  IssueAndRevoke();
  ASSERT_OK(publisher_->Publish());
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 2);
  EXPECT_EQ(Revoked(), 1);
  EXPECT_THAT(store_.crls, SizeIs(2));
}

TEST_F(CrlPublisherTest, AMissingKeyIsSaidOnceNobodyElseMakesTheCrl) {
  ASSERT_OK(publisher_->Publish());
  const std::unique_ptr<AuthorityKeys> none = OtherKeys();
  const std::unique_ptr<CrlPublisher> other = MakePublisher(*none);
  IssueAndRevoke();
  // Another cad may be about to; the CRL that is there is not brought again.
  EXPECT_OK(other->Publish());
  now_.Advance(absl::Seconds(4));
  EXPECT_OK(other->Publish());
  EXPECT_THAT(store_.crls, SizeIs(1));
  now_.Advance(absl::Seconds(2));
  EXPECT_THAT(other->Publish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has no key")));
  EXPECT_THAT(store_.crls, SizeIs(1));
  ASSERT_OK(publisher_->Publish());
  EXPECT_OK(other->Publish());
}

// Revocations one after the other, of which another cad makes CRLs all the time.
TEST_F(CrlPublisherTest, AMissingKeyIsNoMatterWhileAnotherCadWorks) {
  ASSERT_OK(publisher_->Publish());
  const std::unique_ptr<AuthorityKeys> none = OtherKeys();
  const std::unique_ptr<CrlPublisher> other = MakePublisher(*none);
  for (int i = 0; i < 4; ++i) {
    IssueAndRevoke();
    EXPECT_OK(other->Publish());
    ASSERT_OK(publisher_->Publish());
    IssueAndRevoke();
    now_.Advance(absl::Seconds(4));
    EXPECT_OK(other->Publish());
    ASSERT_OK(publisher_->Publish());
  }
}

// RFC 5280, section 3.3.
TEST_F(CrlPublisherTest, AnEntryStandsOnOneCrlBeyondItsEnd) {
  IssueAndRevoke();
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Revoked(), 1);
  // It ended after the last CRL.
  RunByHand("UPDATE issuance SET not_after = now() - interval '1 hour'");
  MakeCrlOlder("25 hours");
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 2);
  EXPECT_EQ(Revoked(), 1);
  // It ended before the last CRL, which had it.
  RunByHand("UPDATE issuance SET not_after = now() - interval '26 hours'");
  MakeCrlOlder("25 hours");
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 3);
  EXPECT_EQ(Revoked(), 0);
}

// Who revokes the last ones and retires at once leaves no revocation without a CRL.
TEST_F(CrlPublisherTest, ARetiredAuthorityNamesWhatWasRevokedLast) {
  ASSERT_OK(publisher_->Publish());
  IssueAndRevoke();
  SetState(authority_id_, AuthorityState::kRetired);
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 2);
  EXPECT_EQ(Revoked(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'revoked' AND first_crl_number IS NULL"), 0);
  EXPECT_THAT(store_.crls, SizeIs(1));
  MakeCrlOlder("2 days");
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Number(), 2);
}

TEST_F(CrlPublisherTest, NoCrlReachesBeyondItsAuthority) {
  const int32_t ending = AddAuthority(KeyKind::kEcP256, absl::Hours(48));
  const int32_t ended = AddAuthority(KeyKind::kEcP256, -absl::Hours(1));
  ASSERT_OK(publisher_->Publish());
  EXPECT_EQ(Count(fmt::format("SELECT (c.next_update = a.not_after)::int::bigint FROM ca_crl c JOIN ca_authority a "
                              "USING (cluster_id, authority_id) WHERE authority_id = {}",
                              ending)),
            1);
  ASSERT_OK_AND_ASSIGN(const CertificateRevocationList crl,
                       CertificateRevocationList::FromBytes(AsBytes(store_.crls.back())));
  EXPECT_EQ(crl.next_update(), LoadAuthority(ending).certificate->not_after());
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM ca_crl WHERE authority_id = {}", ended)), 0);
}

}  // namespace
}  // namespace trustline
