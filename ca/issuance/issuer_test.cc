#include "ca/issuance/issuer.h"

#include <set>
#include <thread>

#include "ca/issuance/issuance_list.h"
#include "ca/issuance/issuer_testing.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

TEST_F(IssuerTest, IssuesOnceForADeviceAndKey) {
  const std::string key = NewPublicKeyInfo();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc first, issuer_->Issue(Order(kPhone, key)));
  EXPECT_FALSE(first.existed);
  EXPECT_EQ(first.certificate.subject().ToText(), "CN=SEP001122334455,O=Example,OU=Voice,C=DE");
  ASSERT_EQ(first.chain.size(), 1u);
  EXPECT_EQ(first.chain[0], *LoadAuthority(authority_id_).certificate);
  EXPECT_EQ(RowsInState("signed"), 1);
  EXPECT_EQ(Text("SELECT detail::json ->> 'serial' FROM audit_event WHERE action = 'lsc.issue'"),
            ToHex(first.certificate.serial()));

  ASSERT_OK_AND_ASSIGN(const IssuedLsc again, issuer_->Issue(Order(kPhone, key)));
  EXPECT_TRUE(again.existed);
  EXPECT_EQ(again.certificate, first.certificate);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
}

TEST_F(IssuerTest, ARequestIdHasOneCertificate) {
  IssuanceOrder order = Order(kPhone, NewPublicKeyInfo());
  order.request_id = "request-1";
  order.second = SecondCertificate::kAlways;
  ASSERT_OK_AND_ASSIGN(const IssuedLsc first, issuer_->Issue(order));
  ASSERT_OK_AND_ASSIGN(const IssuedLsc again, issuer_->Issue(order));
  EXPECT_EQ(again.certificate, first.certificate);
  order.request_id = "request-2";
  ASSERT_OK_AND_ASSIGN(const IssuedLsc renewed, issuer_->Issue(order));
  EXPECT_NE(renewed.certificate, first.certificate);
  order.public_key = *PublicKeyInfo::FromDer(AsBytes(NewPublicKeyInfo()));
  EXPECT_THAT(issuer_->Issue(order), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another key")));
}

TEST_F(IssuerTest, ASecondKeyNeedsARenewal) {
  ASSERT_OK_AND_ASSIGN(const IssuedLsc first, issuer_->Issue(Order(kPhone, NewPublicKeyInfo())));
  RunByHand("UPDATE issuance SET state = 'confirmed'");
  IssuanceOrder order = Order(kPhone, NewPublicKeyInfo());
  EXPECT_THAT(issuer_->Issue(order), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--renew")));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
  order.second = SecondCertificate::kIssue;
  EXPECT_OK(issuer_->Issue(order));
}

TEST_F(IssuerTest, RefusalsWriteNothing) {
  const std::string used = NewPublicKeyInfo();
  ASSERT_OK(issuer_->Issue(Order(kOtherPhone, used)));
  const std::string blocked = NewPublicKeyInfo();
  RunByHand(
      fmt::format("INSERT INTO blocked_key (public_key_sha256, source, added_by) VALUES ('\\x{}', 'a list', 'test')",
                  ToHex(Sha256(AsBytes(blocked)))));
  RunByHand(
      "INSERT INTO device (cluster_id, name, state, state_reason, added_by) VALUES "
      "(1, 'SEP0000000000AA', 'retired', 'stolen', 'test')");
  const std::string authority_key =
      PublicKeyInfo::Of(X509_get0_pubkey(LoadAuthority(authority_id_).certificate->x509()))->der();
  EXPECT_THAT(issuer_->Issue(Order(kPhone, used)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(kOtherPhone)));
  EXPECT_THAT(issuer_->Issue(Order(kPhone, blocked)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a list")));
  EXPECT_THAT(issuer_->Issue(Order(kPhone, authority_key)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("authority")));
  EXPECT_THAT(issuer_->Issue(Order("SEP00000000FFFF", NewPublicKeyInfo())),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl device add")));
  EXPECT_THAT(issuer_->Issue(Order("SEP0000000000AA", NewPublicKeyInfo())),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("stolen")));
  const EvpPkeyPtr weak(EVP_RSA_gen(1024));
  EXPECT_THAT(issuer_->Issue(Order(kPhone, PublicKeyInfo::Of(weak.get())->der())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024")));
  // That of RFC 6979, section A.2.5.
  const std::string published = *DecodePemBody(
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+"
      "n1F3o8KU1EYimQ==");
  EXPECT_THAT(issuer_->Issue(Order(kPhone, published)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("RFC 6979 A.2.5")));
  IssuanceOrder long_lived = Order(kPhone, NewPublicKeyInfo());
  long_lived.lifetime = absl::Hours(24 * 2000);
  EXPECT_THAT(issuer_->Issue(long_lived), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1825")));
  SetState(authority_id_, AuthorityState::kTainted);
  EXPECT_THAT(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rollover")));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
}

// An authority that was tainted between the look at it and the intent gets none.
TEST_F(IssuerTest, AnIntentNeedsAnAuthorityThatIssues) {
  const PublicKeyInfo key = *PublicKeyInfo::FromDer(AsBytes(NewPublicKeyInfo()));
  NewIntent intent = {.content = {.device = *DeviceName::Parse(kPhone),
                                  .serial = *NewSerial(),
                                  .not_before = absl::Now(),
                                  .not_after = absl::Now() + absl::Hours(24),
                                  .public_key_info = key.der()},
                      .to_be_signed = "bytes",
                      .requested_by = kTestActor};
  const auto lease = pool_->Acquire();
  ASSERT_OK(lease);
  IssuanceStore store(**lease, 1);
  SetState(authority_id_, AuthorityState::kTainted);
  EXPECT_THAT(store.Insert(authority_id_, intent), IsOkAndHolds(std::nullopt));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 0);
}

TEST_F(IssuerTest, WhatCouldNotBeStoredIsNotHandedOut) {
  FailStoreStep();
  const std::string key = NewPublicKeyInfo();
  EXPECT_FALSE(issuer_->Issue(Order(kPhone, key)).ok());
  EXPECT_EQ(RowsInState("intent"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.issue'"), 0);
  LetStoreStep();
  // The next request for the same key finishes what was begun, with the same serial number.
  const std::string serial = Text("SELECT encode(serial, 'hex') FROM issuance");
  ASSERT_OK_AND_ASSIGN(const IssuedLsc issued, issuer_->Issue(Order(kPhone, key)));
  EXPECT_EQ(ToHex(issued.certificate.serial()), serial);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
}

TEST_F(IssuerTest, TheSweeperFinishesWhatIsOpen) {
  FailStoreStep();
  EXPECT_FALSE(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())).ok());
  EXPECT_FALSE(issuer_->Issue(Order(kOtherPhone, NewPublicKeyInfo())).ok());
  LetStoreStep();
  EXPECT_THAT(sweeper_->Sweep(absl::Minutes(1)), IsOkAndHolds(0));  // not old enough
  EXPECT_THAT(sweeper_->Sweep(absl::ZeroDuration()), IsOkAndHolds(2));
  EXPECT_EQ(RowsInState("signed"), 2);
  EXPECT_EQ(Text("SELECT actor FROM audit_event WHERE action = 'lsc.issue' LIMIT 1"), "trustline:default/cad/node1");
  EXPECT_EQ(Text("SELECT detail::json ->> 'requested_by' FROM audit_event WHERE action = 'lsc.issue' LIMIT 1"),
            kTestActor);
}

// Bytes that somebody changed in the database are never signed.
TEST_F(IssuerTest, TheSweeperAbandonsWhatItsChecksRefuse) {
  FailStoreStep();
  EXPECT_FALSE(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())).ok());
  LetStoreStep();
  RunByHand("UPDATE issuance SET device = 'SEP001122334466'");
  EXPECT_THAT(sweeper_->Sweep(absl::ZeroDuration()), IsOkAndHolds(1));
  EXPECT_EQ(RowsInState("abandoned"), 1);
  EXPECT_THAT(Text("SELECT abandoned_because FROM issuance"), HasSubstr("the subject"));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.issue' AND outcome = 'failed'"), 1);
}

// A clock that jumps a day between intent and signature: forward it is finished, backward it is not valid yet.
TEST_F(IssuerTest, TheClockJumpsADay) {
  FakeClock clock(absl::Now());
  Issuer issuer({.public_url = "http://ca.example"}, *pool_, *keys_, clock);
  Sweeper sweeper({.actor = "trustline:default/cad/node1"}, issuer, *pool_, log_, metrics_);
  FailStoreStep();
  EXPECT_FALSE(issuer.Issue(Order(kPhone, NewPublicKeyInfo())).ok());
  LetStoreStep();
  clock.Set(clock.Now() + absl::Hours(24));
  EXPECT_THAT(sweeper.Sweep(absl::ZeroDuration()), IsOkAndHolds(1));
  EXPECT_EQ(RowsInState("signed"), 1);

  FailStoreStep();
  const std::string key = NewPublicKeyInfo();
  EXPECT_FALSE(issuer.Issue(Order(kOtherPhone, key)).ok());
  LetStoreStep();
  clock.Set(clock.Now() - absl::Hours(24));
  EXPECT_THAT(sweeper.Sweep(absl::ZeroDuration()), IsOkAndHolds(1));
  EXPECT_THAT(Text("SELECT abandoned_because FROM issuance WHERE state = 'abandoned'"), HasSubstr("in the future"));
  EXPECT_OK(issuer.Issue(Order(kOtherPhone, key)));
}

TEST_F(IssuerTest, AnotherKeyAbandonsTheOpenIntent) {
  FailStoreStep();
  EXPECT_FALSE(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())).ok());
  LetStoreStep();
  ASSERT_OK(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())));
  EXPECT_EQ(RowsInState("abandoned"), 1);
  EXPECT_EQ(RowsInState("signed"), 1);
}

// A database that refuses the store step may take it later: until the patience is over the intent stays open.
TEST_F(IssuerTest, TheSweeperWaitsForADatabaseThatRefuses) {
  FailStoreStep();
  const absl::Status refused = issuer_->Issue(Order(kPhone, NewPublicKeyInfo())).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInternal, HasSubstr("PostgreSQL's log")));
  EXPECT_THAT(sweeper_->Sweep(absl::ZeroDuration()), IsOkAndHolds(0));
  EXPECT_EQ(RowsInState("intent"), 1);
  RunByHand("UPDATE issuance SET requested_at = requested_at - interval '2 minutes'");
  EXPECT_THAT(sweeper_->Sweep(absl::ZeroDuration()), IsOkAndHolds(1));
  EXPECT_EQ(RowsInState("abandoned"), 1);
  LetStoreStep();
  EXPECT_THAT(sweeper_->Sweep(absl::ZeroDuration()), IsOkAndHolds(0));
}

// A request that is answered with an earlier certificate disturbs no other one.
TEST_F(IssuerTest, ARepetitionLeavesAnOpenIntentAlone) {
  const std::string key = NewPublicKeyInfo();
  IssuanceOrder first = Order(kPhone, key);
  first.request_id = "first";
  ASSERT_OK_AND_ASSIGN(const IssuedLsc issued, issuer_->Issue(first));
  FailStoreStep();
  IssuanceOrder second = Order(kPhone, NewPublicKeyInfo());
  second.request_id = "second";
  EXPECT_FALSE(issuer_->Issue(second).ok());
  LetStoreStep();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc again, issuer_->Issue(first));
  EXPECT_EQ(again.certificate, issued.certificate);
  EXPECT_EQ(RowsInState("intent"), 1);
  ASSERT_OK_AND_ASSIGN(const IssuedLsc finished, issuer_->Issue(second));
  EXPECT_TRUE(finished.existed);
}

TEST_F(IssuerTest, ARepetitionRenewsWhatIsTaintedOrNearItsEnd) {
  const std::string key = NewPublicKeyInfo();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc first, issuer_->Issue(Order(kPhone, key)));
  const int32_t next = AddAuthority(KeyKind::kEcP256);
  SetState(authority_id_, AuthorityState::kTainted);
  SetState(next, AuthorityState::kActive);
  ASSERT_OK_AND_ASSIGN(const IssuedLsc renewed, issuer_->Issue(Order(kPhone, key)));
  EXPECT_FALSE(renewed.existed);
  EXPECT_EQ(renewed.record.authority_id, next);
  ASSERT_OK_AND_ASSIGN(const IssuedLsc again, issuer_->Issue(Order(kPhone, key)));
  EXPECT_EQ(again.certificate, renewed.certificate);

  audit_at_end_ = false;  // the database's clock stays where it is
  FakeClock clock(absl::Now());
  Issuer issuer({.public_url = "http://ca.example"}, *pool_, *keys_, clock);
  clock.Set(again.certificate.not_before() + absl::Hours(24 * 1825 * 2 / 3 - 24));
  ASSERT_OK_AND_ASSIGN(const IssuedLsc early, issuer.Issue(Order(kPhone, key)));
  EXPECT_TRUE(early.existed);
  clock.Set(again.certificate.not_before() + absl::Hours(24 * 1825 * 2 / 3 + 24));
  ASSERT_OK_AND_ASSIGN(const IssuedLsc late, issuer.Issue(Order(kPhone, key)));
  EXPECT_FALSE(late.existed);
}

TEST_F(IssuerTest, ACompromisedKeyIsNotCertifiedAgain) {
  const std::string key = NewPublicKeyInfo();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc issued, issuer_->Issue(Order(kPhone, key)));
  ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
    return Revoker(connection, caller()).Revoke(issued.certificate.serial(), RevocationReason::kKeyCompromise);
  }));
  EXPECT_THAT(issuer_->Issue(Order(kPhone, key)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("compromised")));
  // Known as compromised only later: the other certificate for the key, and a request under way, end with it.
  const std::string later = NewPublicKeyInfo();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc old, issuer_->Issue(Order(kOtherPhone, later)));
  IssuanceOrder renewal = Order(kOtherPhone, later);
  renewal.second = SecondCertificate::kAlways;
  ASSERT_OK(issuer_->Issue(renewal));
  const auto revoke = [&](RevocationReason reason) {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return Revoker(connection, caller()).Revoke(old.certificate.serial(), reason);
    });
  };
  ASSERT_OK(revoke(RevocationReason::kSuperseded));
  FailStoreStep();
  EXPECT_FALSE(issuer_->Issue(renewal).ok());
  LetStoreStep();
  ASSERT_OK_AND_ASSIGN(const Revocation compromised, revoke(RevocationReason::kKeyCompromise));
  EXPECT_FALSE(compromised.changed);
  EXPECT_TRUE(compromised.key_blocked);
  EXPECT_EQ(compromised.others, 1);
  EXPECT_EQ(RowsInState("intent"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE device = 'SEP001122334466' AND state = 'signed'"), 0);
  EXPECT_THAT(issuer_->Issue(renewal), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("compromised")));
  // A certificate that was taken back for another reason says nothing against its key.
  const std::string other = NewPublicKeyInfo();
  ASSERT_OK_AND_ASSIGN(const IssuedLsc superseded, issuer_->Issue(Order(kPhone, other)));
  ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
    return Revoker(connection, caller()).Revoke(superseded.certificate.serial(), RevocationReason::kSuperseded);
  }));
  EXPECT_OK(issuer_->Issue(Order(kPhone, other)));
}

// A key that is on another machine is not a reason to give an intent up, until long after.
TEST_F(IssuerTest, AnIntentOfAnotherCadIsLeftToIt) {
  FailStoreStep();
  EXPECT_FALSE(issuer_->Issue(Order(kPhone, NewPublicKeyInfo())).ok());
  LetStoreStep();
  std::filesystem::create_directory(folder_.path() / "other");
  std::filesystem::permissions(folder_.path() / "other", std::filesystem::perms(0700));
  ASSERT_OK_AND_ASSIGN(const auto keys, AuthorityKeys::Open(folder_.path() / "other", folder_.path() / "passphrase"));
  Issuer other({.public_url = "http://ca.example"}, *pool_, *keys, clock_);
  Sweeper sweeper({.actor = "trustline:default/cad/node2", .patience = absl::Minutes(1)}, other, *pool_, log_,
                  metrics_);
  EXPECT_THAT(sweeper.Sweep(absl::ZeroDuration()), IsOkAndHolds(0));
  EXPECT_EQ(RowsInState("intent"), 1);
  RunByHand("UPDATE issuance SET requested_at = requested_at - interval '2 minutes'");
  EXPECT_THAT(sweeper.Sweep(absl::ZeroDuration()), IsOkAndHolds(1));
  EXPECT_EQ(RowsInState("abandoned"), 1);
}

TEST_F(IssuerTest, ManyAtOnceGetOneCertificateForOneKey) {
  const std::string key = NewPublicKeyInfo();
  std::set<std::string> certificates;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const absl::StatusOr<IssuedLsc> issued = issuer_->Issue(Order(kPhone, key));
      EXPECT_OK(issued);
      if (!issued.ok()) return;
      const std::lock_guard lock(mutex);
      certificates.insert(ToHex(issued->certificate.sha256()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(certificates.size(), 1u);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
}

TEST_F(IssuerTest, OneKeyForTwoDevicesAtOnce) {
  const std::string key = NewPublicKeyInfo();
  absl::StatusOr<IssuedLsc> one = absl::UnknownError(""), two = absl::UnknownError("");
  std::thread first([&] { one = issuer_->Issue(Order(kPhone, key)); });
  std::thread second([&] { two = issuer_->Issue(Order(kOtherPhone, key)); });
  first.join();
  second.join();
  EXPECT_NE(one.ok(), two.ok()) << one.status() << " " << two.status();
}

TEST_F(IssuerTest, ACertificateIsRevokedOnceAndByItsSerialNumber) {
  ASSERT_OK_AND_ASSIGN(const IssuedLsc issued, issuer_->Issue(Order(kPhone, NewPublicKeyInfo())));
  const auto revoke = [&](ByteView serial, RevocationReason reason) {
    return RunInTransaction(
        *pool_, {}, [&](Connection& connection) { return Revoker(connection, caller()).Revoke(serial, reason); });
  };
  ASSERT_OK_AND_ASSIGN(const Revocation first, revoke(issued.certificate.serial(), RevocationReason::kKeyCompromise));
  EXPECT_TRUE(first.changed);
  ASSERT_OK_AND_ASSIGN(const Revocation again, revoke(issued.certificate.serial(), RevocationReason::kSuperseded));
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(Count("SELECT revocation_reason::bigint FROM issuance"), 1);
  EXPECT_THAT(revoke(AsBytes("unknown serial"), RevocationReason::kSuperseded), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.revoke'"), 1);
}

TEST_F(IssuerTest, ListsByEveryFilterAndPage) {
  RunByHand(
      "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP0000000000' || to_char(n, 'FM00'), 'test' "
      "FROM generate_series(10, 29) n");
  std::set<std::string> serials;
  for (int i = 10; i < 30; ++i) {
    const auto issued = issuer_->Issue(Order(fmt::format("SEP0000000000{}", i), NewPublicKeyInfo()));
    ASSERT_OK(issued);
    serials.insert(ToHex(issued->certificate.serial()));
  }
  const auto lease = pool_->Acquire();
  ASSERT_OK(lease);
  const auto list = [&](const IssuanceFilter& filter, int32_t page_size) {
    std::vector<std::string> devices;
    std::string after;
    do {
      const auto page = ListIssuances(**lease, 1, filter, page_size, after);
      EXPECT_OK(page);
      if (!page.ok()) break;
      for (const IssuanceRecord& record : page->records) devices.push_back(record.device);
      after = page->next;
    } while (!after.empty());
    return devices;
  };
  const auto all_pages = [&](const IssuanceFilter& filter) {
    const std::vector<std::string> whole = list(filter, 100);
    EXPECT_EQ(list(filter, 3), whole);
    EXPECT_EQ(list(filter, 1), whole);
    return whole.size();
  };
  EXPECT_EQ(all_pages({}), 20u);
  EXPECT_EQ(all_pages({.device_prefix = "SEP00000000001"}), 10u);
  EXPECT_EQ(all_pages({.subject_prefix = "CN=SEP00000000002"}), 10u);
  EXPECT_EQ(all_pages({.authority_id = authority_id_}), 20u);
  EXPECT_EQ(all_pages({.authority_id = authority_id_ + 1}), 0u);
  EXPECT_EQ(all_pages({.state = IssuanceState::kSigned}), 20u);
  EXPECT_EQ(all_pages({.state = IssuanceState::kRevoked}), 0u);
  EXPECT_EQ(all_pages({.expires_before = absl::Now() + absl::Hours(24 * 1826)}), 20u);
  EXPECT_EQ(all_pages({.expires_after = absl::Now() + absl::Hours(24 * 1826)}), 0u);
  const std::string& serial = *serials.begin();
  EXPECT_EQ(all_pages({.serial_prefix = serial}), 1u);
  for (size_t digits = 1; digits < serial.size(); ++digits) {
    EXPECT_GE(all_pages({.serial_prefix = serial.substr(0, digits)}), 1u) << digits;
  }
  // Serial numbers begin with 4 to 7.
  EXPECT_EQ(all_pages({.serial_prefix = "4"}) + all_pages({.serial_prefix = "5"}) + all_pages({.serial_prefix = "6"}) +
                all_pages({.serial_prefix = "7"}),
            20u);
  EXPECT_EQ(all_pages({.serial_prefix = "f"}), 0u);
  EXPECT_THAT(ListIssuances(**lease, 1, {}, 10, "nonsense"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(FindBySerialPrefix(**lease, 1, serial));
  EXPECT_THAT(FindBySerialPrefix(**lease, 1, "ffff"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trustline
