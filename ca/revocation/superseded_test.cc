#include "ca/revocation/superseded.h"

#include "ca/ca_testing.h"
#include "ca/issuance/issuer.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kPhone[] = "SEP001122334455";
constexpr char kOtherPhone[] = "SEP001122334466";
constexpr int64_t kSuperseded = static_cast<int64_t>(RevocationReason::kSuperseded);

class SupersededTest : public CaDatabaseTest {
 protected:
  void SetUp() override {
    CaDatabaseTest::SetUp();
    issuer_ = std::make_unique<Issuer>(IssuerOptions{.public_url = "http://ca.example:9480"}, *pool_, *keys_, clock_);
  }

  // A new certificate for the device, of the authority that issues; returns its issuance.
  int64_t Issue(std::string_view device) {
    IssuanceOrder order = Order(device, NewPublicKeyInfo());
    order.second = SecondCertificate::kAlways;
    const absl::StatusOr<IssuedLsc> issued = issuer_->Issue(order);
    EXPECT_OK(issued);
    return issued.ok() ? issued->record.id : 0;
  }
  void Advance(int64_t issuance_id) {
    const auto lease = pool_->Acquire();
    ASSERT_OK(lease);
    const std::vector<int64_t> ids = {issuance_id};
    EXPECT_THAT(IssuanceStore(**lease, 1).Advance(ids, IssuanceState::kConfirmed), IsOkAndHolds(SizeIs(1)));
  }
  // As cad does; returns how many older ones were revoked.
  int64_t Confirm(std::string_view device, int64_t issuance_id) {
    Advance(issuance_id);
    const auto revoked = RunInTransaction(*pool_, {}, [&](Connection& connection) {
      const std::vector<DeviceIssuance> acknowledged = {{std::string(device), issuance_id}};
      return Revoker(connection, caller()).RevokeReplaced(acknowledged);
    });
    EXPECT_OK(revoked);
    return revoked.value_or(-1);
  }
  // The next authority issues; the one that did is tainted.
  void RollOver() {
    const int32_t next = AddAuthority(KeyKind::kEcP256);
    SetState(authority_id_, AuthorityState::kTainted);
    SetState(next, AuthorityState::kActive);
    next_id_ = next;
  }
  absl::StatusOr<SupersededCount> RevokeAll(int32_t authority_id) {
    return RevokeSuperseded(*pool_, caller(), authority_id, [](const SupersededCount&) { return absl::OkStatus(); });
  }
  std::string StateOf(int64_t issuance_id) {
    return Text(fmt::format("SELECT state FROM issuance WHERE issuance_id = {}", issuance_id));
  }
  int64_t Audited() { return Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.revoke'"); }

  std::unique_ptr<Issuer> issuer_;
  int32_t next_id_ = 0;
};

TEST_F(SupersededTest, AConfirmationRevokesWhatATaintedAuthorityIssuedBefore) {
  const int64_t first = Issue(kPhone);
  EXPECT_EQ(Confirm(kPhone, first), 0);
  const int64_t second = Issue(kPhone);
  // Of an authority that issues both stay: the device may hold on to the older one.
  EXPECT_EQ(Confirm(kPhone, second), 0);
  const int64_t of_other_phone = Issue(kOtherPhone);
  EXPECT_EQ(Confirm(kOtherPhone, of_other_phone), 0);

  RollOver();
  const int64_t unacknowledged = Issue(kPhone);
  const int64_t renewed = Issue(kPhone);
  EXPECT_EQ(StateOf(first), "confirmed");
  EXPECT_EQ(Confirm(kPhone, renewed), 3);
  EXPECT_EQ(StateOf(first), "revoked");
  EXPECT_EQ(StateOf(second), "revoked");
  EXPECT_EQ(StateOf(unacknowledged), "revoked");
  EXPECT_EQ(StateOf(renewed), "confirmed");
  EXPECT_EQ(StateOf(of_other_phone), "confirmed");
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance WHERE revocation_reason = {}", kSuperseded)), 3);
  EXPECT_EQ(Audited(), 3);
}

TEST_F(SupersededTest, InBulkOnlyWhereANewerOneIsAcknowledgedAndGood) {
  const int64_t old = Issue(kPhone);
  Advance(old);
  const int64_t other_old = Issue(kOtherPhone);
  Advance(other_old);
  RollOver();
  Advance(Issue(kPhone));
  const int64_t not_acknowledged = Issue(kOtherPhone);
  ASSERT_OK_AND_ASSIGN(const SupersededCount first, RevokeAll(authority_id_));
  EXPECT_EQ(first.checked, 2);
  EXPECT_EQ(first.revoked, 1);
  EXPECT_EQ(StateOf(old), "revoked");
  EXPECT_EQ(StateOf(other_old), "confirmed");
  EXPECT_EQ(Audited(), 1);

  // One that is past its end stands for nothing.
  Advance(not_acknowledged);
  RunByHand(fmt::format("UPDATE issuance SET not_after = now() - interval '1 hour' WHERE issuance_id = {}",
                        not_acknowledged));
  ASSERT_OK_AND_ASSIGN(const SupersededCount second, RevokeAll(authority_id_));
  EXPECT_EQ(second.checked, 1);
  EXPECT_EQ(second.revoked, 0);
}

TEST_F(SupersededTest, OnlyOfATaintedAuthority) {
  EXPECT_THAT(RevokeAll(authority_id_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is active")));
  EXPECT_THAT(RevokeAll(4711), StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl ca list")));
}

// 2,500 devices that were renewed already.
TEST_F(SupersededTest, WhatIsInterruptedGoesOn) {
  RollOver();
  for (const int32_t authority_id : {authority_id_, next_id_}) {
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, confirmed_at) SELECT 1, {0}, 'SEP' || upper(lpad(to_hex(n), 12, '0')), '', 'confirmed', "
        "substr(sha256(('{0}s' || n)::bytea), 1, 15), 'CN=x', 'EC secp256r1', sha256(('{0}k' || n)::bytea), 'k', "
        "now(), "
        "now() + interval '1 day', '', 't', 'c', sha256('c'), 'test', now() FROM generate_series(1, 2500) n",
        authority_id));
  }
  EXPECT_THAT(RevokeSuperseded(*pool_, caller(), authority_id_,
                               [](const SupersededCount&) { return absl::CancelledError("the client went away"); }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(Audited(), 1000);
  int calls = 0;
  ASSERT_OK_AND_ASSIGN(const SupersededCount rest,
                       RevokeSuperseded(*pool_, caller(), authority_id_, [&](const SupersededCount& so_far) {
                         EXPECT_EQ(so_far.revoked, ++calls * 1000);
                         return absl::OkStatus();
                       }));
  EXPECT_EQ(rest.checked, 1500);
  EXPECT_EQ(rest.revoked, 1500);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(Audited(), 2500);
  EXPECT_EQ(
      Count(fmt::format("SELECT count(*) FROM issuance WHERE authority_id = {} AND state = 'confirmed'", next_id_)),
      2500);
}

}  // namespace
}  // namespace trustline
