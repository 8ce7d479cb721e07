#include "ca/authority/authority_admin.h"

#include <filesystem>

#include "ca/trust_store_testing.h"
#include "common/x509/certificate_builder.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class AuthorityAdminTest : public CaTrustStoreTest {
 protected:
  void SetUp() override {
    CaTrustStoreTest::SetUp();
    admin_ = std::make_unique<AuthorityAdmin>(
        AuthorityAdminOptions{.organization = "Example", .organizational_unit = "Voice"}, *pool_, *keys_, *trust_store_,
        clock_);
  }

  absl::StatusOr<Authority> Prepare() {
    return admin_->Prepare(caller(), KeyKind::kEcP256, "", kDefaultAuthorityLifetime);
  }
  bool HasKeyFile(const std::string& key_name) const {
    return std::filesystem::exists(folder_.path() / "keys" / (key_name + ".key"));
  }
  // That of the authority which the fixture makes is one.
  int KeyFiles() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "keys")) {
      if (entry.path().extension() == ".key") ++count;
    }
    return count;
  }
  // Signed by an outside root, for the key of an authority that was requested; the certificate and the root.
  static std::vector<Certificate> Answer(const AuthorityAdmin::Requested& requested) {
    CertificateTemplate form;
    form.subject = *DistinguishedName::FromText("CN=Enterprise");
    form.not_before = absl::Now() - absl::Hours(1);
    form.not_after = absl::Now() + absl::Hours(24 * 3650);
    form.is_ca = true;
    form.key_usage = {"keyCertSign", "cRLSign"};
    const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
    const Certificate root = *BuildSelfSigned(form, key);
    form.subject = requested.request.subject();
    return {*BuildIssued(form, requested.request.public_key(), root, key), root};
  }
  void RefuseNewAuthorities() {
    RunByHand(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON ca_authority FOR EACH ROW EXECUTE FUNCTION refuse()");
  }
  int64_t Audited(std::string_view action) {
    return Count(fmt::format("SELECT count(*) FROM audit_event WHERE action = '{}'", action));
  }
  // Confirmed certificates of as many new devices in service; the numbers of both begin at `first`.
  void FillGood(int32_t authority_id, int first, int count) {
    RunByHand(fmt::format(
        "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), 'test' "
        "FROM generate_series({1}, {1} + {2} - 1) n; "
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, confirmed_at) SELECT 1, {0}, 'SEP' || upper(lpad(to_hex(n), 12, '0')), '', 'confirmed', "
        "substr(sha256(('s' || n)::bytea), 1, 15), 'CN=x', 'EC secp256r1', sha256(('k' || n)::bytea), 'k', now(), "
        "now() + interval '1 day', '', 't', 'c', sha256('c'), 'test', now() "
        "FROM generate_series({1}, {1} + {2} - 1) n",
        authority_id, first, count));
    // As the server does by itself after a while: until then it plans for a handful of rows.
    RunByHand("ANALYZE device, issuance");
  }

  std::unique_ptr<AuthorityAdmin> admin_;
};

TEST_F(AuthorityAdminTest, APreparedAuthorityIsAnAnchor) {
  ASSERT_OK_AND_ASSIGN(const Authority prepared, Prepare());
  EXPECT_EQ(prepared.state, AuthorityState::kPrepared);
  EXPECT_TRUE(IsAnchor(prepared));
  EXPECT_TRUE(HasKeyFile(prepared.key_name));
}

TEST_F(AuthorityAdminTest, WhatCannotBeStoredLeavesNeitherAnchorNorKey) {
  RefuseNewAuthorities();
  EXPECT_FALSE(Prepare().ok());
  EXPECT_FALSE(admin_->Request(caller(), KeyKind::kEcP256, "").ok());
  EXPECT_THAT(store_.anchors, IsEmpty());
  EXPECT_EQ(KeyFiles(), 1);
}

TEST_F(AuthorityAdminTest, WithoutATrustStoreNoKeyStays) {
  itld_->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(Prepare().ok());
  EXPECT_EQ(KeyFiles(), 1);
}

// A commit that took effect although its answer was lost: the row is there, and the transaction has failed.
TEST_F(AuthorityAdminTest, ARowThatIsThereKeepsItsAnchorAndItsKey) {
  store_.after_adding = [this](const std::string& der) {
    const Certificate certificate = *Certificate::FromDer(AsBytes(der));
    RunByHand(fmt::format(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "not_before, not_after, created_by) VALUES (1, 'prepared', '{}', 'EC secp256r1', '\\x{}', 'CN=x', '\\x{}', "
        "now(), now() + interval '1 day', 'test')",
        KeyName(certificate.public_key_sha256()), ToHex(certificate.public_key_sha256()), ToHex(certificate.der())));
  };
  ASSERT_OK_AND_ASSIGN(const Authority prepared, Prepare());
  EXPECT_EQ(Count("SELECT max(authority_id)::bigint FROM ca_authority"), prepared.id);
  EXPECT_TRUE(IsAnchor(prepared));
  EXPECT_TRUE(HasKeyFile(prepared.key_name));
}

// Nobody can say then whether the row is there.
TEST_F(AuthorityAdminTest, WhileTheDatabaseIsAwayNothingIsTakenBack) {
  store_.after_adding = [this](const std::string&) { EXPECT_OK(database_->Stop()); };
  EXPECT_FALSE(Prepare().ok());
  EXPECT_THAT(store_.anchors, SizeIs(1));
  EXPECT_EQ(KeyFiles(), 2);
}

TEST_F(AuthorityAdminTest, AnImportThatCannotBeStoredLeavesNoAnchor) {
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Requested requested, admin_->Request(caller(), KeyKind::kEcP256, ""));
  const std::vector<Certificate> answer = Answer(requested);
  int added = 0;
  store_.after_adding = [&added](const std::string&) { ++added; };
  // It fails with the commit.
  RunByHand(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; "
      "CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON ca_authority DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION refuse()");
  EXPECT_FALSE(admin_->ImportChain(caller(), answer).ok());
  EXPECT_EQ(added, 1);
  EXPECT_THAT(store_.anchors, IsEmpty());
  EXPECT_EQ(LoadAuthority(requested.authority.id).state, AuthorityState::kRequested);
  EXPECT_TRUE(HasKeyFile(requested.authority.key_name));

  RunByHand("DROP TRIGGER refuse ON ca_authority");
  ASSERT_OK_AND_ASSIGN(const Authority prepared, admin_->ImportChain(caller(), answer));
  EXPECT_EQ(prepared.state, AuthorityState::kPrepared);
  EXPECT_TRUE(IsAnchor(prepared));
}

TEST_F(AuthorityAdminTest, WhileTheDatabaseIsAwayTheAnchorOfAnImportStays) {
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Requested requested, admin_->Request(caller(), KeyKind::kEcP256, ""));
  store_.after_adding = [this](const std::string&) { EXPECT_OK(database_->Stop()); };
  EXPECT_FALSE(admin_->ImportChain(caller(), Answer(requested)).ok());
  EXPECT_THAT(store_.anchors, SizeIs(1));
}

TEST_F(AuthorityAdminTest, WhatIsActivatedIsAnAnchorAgain) {
  ASSERT_OK_AND_ASSIGN(const Authority prepared, Prepare());
  store_.anchors.clear();
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Activated activated, admin_->Activate(caller(), prepared.id));
  EXPECT_EQ(activated.tainted_id, authority_id_);
  EXPECT_TRUE(IsAnchor(prepared));
}

TEST_F(AuthorityAdminTest, AnItldThatHangsIsNamed) {
  ASSERT_OK_AND_ASSIGN(const Authority prepared, Prepare());
  store_.hangs = true;
  EXPECT_THAT(admin_->Activate(caller(), prepared.id),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(fmt::format("itld at 127.0.0.1:{}", itld_->port())), HasSubstr("its log"))));
  store_.hangs = false;
  EXPECT_EQ(LoadAuthority(prepared.id).state, AuthorityState::kPrepared);
  EXPECT_EQ(LoadAuthority(authority_id_).state, AuthorityState::kActive);
}

TEST_F(AuthorityAdminTest, TheOneThatIssuesIsTaintedByForceAndCanComeBack) {
  EXPECT_THAT(admin_->Taint(caller(), authority_id_, false),
              StatusIs(kRefused, AllOf(HasSubstr("nothing issues then"), HasSubstr("--force"))));
  EXPECT_EQ(LoadAuthority(authority_id_).state, AuthorityState::kActive);
  ASSERT_OK_AND_ASSIGN(const Authority tainted, admin_->Taint(caller(), authority_id_, true));
  EXPECT_EQ(tainted.state, AuthorityState::kTainted);
  EXPECT_TRUE(tainted.tainted_at.has_value());
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Activated again, admin_->Activate(caller(), authority_id_));
  EXPECT_EQ(again.authority.state, AuthorityState::kActive);
  EXPECT_FALSE(again.authority.tainted_at.has_value());
  EXPECT_EQ(again.tainted_id, 0);

  // After a rollover that turned out badly.
  ASSERT_OK_AND_ASSIGN(const Authority next, Prepare());
  ASSERT_OK(admin_->Activate(caller(), next.id));
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Activated back, admin_->Activate(caller(), authority_id_));
  EXPECT_EQ(back.tainted_id, next.id);
  EXPECT_THAT(admin_->Activate(caller(), authority_id_), StatusIs(kRefused, HasSubstr("is active")));
}

TEST_F(AuthorityAdminTest, WhatIsPastItsEndDoesNotComeBack) {
  const int32_t ended = AddAuthority(KeyKind::kEcP256, -absl::Hours(1));
  SetState(ended, AuthorityState::kTainted);
  EXPECT_THAT(admin_->Activate(caller(), ended), StatusIs(kRefused, HasSubstr("not now")));
}

TEST_F(AuthorityAdminTest, ARequestedOneIsDiscarded) {
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Requested requested, admin_->Request(caller(), KeyKind::kEcP256, ""));
  EXPECT_TRUE(HasKeyFile(requested.authority.key_name));
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Retired retired, admin_->Retire(caller(), requested.authority.id));
  EXPECT_TRUE(retired.discarded);
  EXPECT_OK(retired.key_removed);
  EXPECT_EQ(retired.authority.key_name, requested.authority.key_name);
  EXPECT_FALSE(HasKeyFile(requested.authority.key_name));
  EXPECT_FALSE(keys_->Has(requested.authority.key_name));
  EXPECT_EQ(Count("SELECT count(*) FROM ca_authority"), 1);
  EXPECT_EQ(Audited("ca.discard"), 1);
  EXPECT_THAT(admin_->Retire(caller(), requested.authority.id), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AuthorityAdminTest, RetiringSaysHowManyStandInTheWay) {
  ASSERT_OK_AND_ASSIGN(const Authority next, Prepare());
  ASSERT_OK(admin_->Activate(caller(), next.id));
  FillGood(authority_id_, 0x1000, 2);
  EXPECT_THAT(
      admin_->Retire(caller(), authority_id_),
      StatusIs(kRefused, AllOf(HasSubstr("chain to it: 2 (SEP000000001000, SEP000000001001);"),
                               HasSubstr(fmt::format("`trustctl lsc list --authority {} --good`", authority_id_)))));
  v1::Caution plan;
  plan.set_plan(true);
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Retired planned, admin_->Retire(caller(), authority_id_, plan));
  EXPECT_THAT(planned.preflight.refusal(), HasSubstr("chain to it: 2"));
  // It counts no further than it must.
  FillGood(authority_id_, 0x2000, 10'001);
  EXPECT_THAT(admin_->Retire(caller(), authority_id_),
              StatusIs(kRefused, AllOf(HasSubstr("chain to it: more than 10,000 ("), HasSubstr(", ...)"))));
  RunByHand("UPDATE issuance SET not_after = now() - interval '1 hour'");
  ASSERT_OK_AND_ASSIGN(const AuthorityAdmin::Retired retired, admin_->Retire(caller(), authority_id_));
  EXPECT_EQ(retired.authority.state, AuthorityState::kRetired);
  EXPECT_FALSE(IsAnchor(retired.authority));
}

TEST_F(AuthorityAdminTest, CountsForOneAuthorityAreExact) {
  FillGood(authority_id_, 0x1000, 3);
  RunByHand("UPDATE device SET state = 'retired' WHERE name = 'SEP000000001000'");
  const auto lease = pool_->Acquire();
  ASSERT_OK(lease);
  AuthorityStore store(**lease, 1);
  ASSERT_OK_AND_ASSIGN(const AuthorityUse use, store.CountUse(authority_id_));
  EXPECT_EQ(use.issued, 3);
  EXPECT_EQ(use.dependents, 2);
  EXPECT_THAT(store.CountDependents(authority_id_, 1), IsOkAndHolds(1));
  EXPECT_THAT(store.CountDependents(authority_id_, 10), IsOkAndHolds(2));
}

}  // namespace
}  // namespace trustline
