// What publishes itself, what waits for an administrator, and how long an approval lasts.
#include "itl/list/list_run.h"
#include "itl/list/list_testing.h"
#include "itl/list/phone_reading.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPhone[] = "SEP001122334455";

class ListApprovalTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    AddListed(tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  }
  void ChangePolicy(const std::function<void(ListPolicy&)>& change) {
    ASSERT_OK(InStore([&](Connection&, ListStore& store) -> absl::Status {
      ASSIGN_OR_RETURN(const auto stored, store.LockPolicy());
      ListPolicy policy = stored->policy;
      change(policy);
      return store.WritePolicy(policy, kTestActor);
    }));
  }
  void AddCtl() {
    ASSERT_OK(InStore([](Connection&, ListStore& store) {
      return store.PutList({.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, kTestActor);
    }));
  }
  size_t Logged(std::string_view id) {
    const std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const std::string& line : lines_) count += line.find(id) == std::string::npos ? 0 : 1;
    return count;
  }
  void NodesAreAway() { SetVouching(absl::FailedPreconditionError("node2 does not answer")); }
  const Certificate tvs_ = MakePhoneFacing("tvs");
};

TEST_F(ListApprovalTest, AChangeOfTheFormWaits) {
  const auto waits = [&](const char* said, const std::function<void(ListPolicy&)>& change) {
    ChangePolicy(change);
    EXPECT_EQ(Outcome(), ListOutcome::kWaits) << said;
    EXPECT_THAT(List().candidate->changes, HasSubstr(said));
    EXPECT_EQ(List().candidate->state, CandidateState::kApproval);
    EXPECT_EQ(Outcome(Approved()), ListOutcome::kPublished) << said;
  };
  waits("digest: ", [](ListPolicy& policy) { policy.digest = DigestAlgorithm::kSha512; });
  waits("signer-version: ", [](ListPolicy& policy) { policy.signer_version = kSignerVersionWithEc; });
  waits("blanked: ", [](ListPolicy& policy) { policy.blank = true; });
  waits("unblanked: ", [](ListPolicy& policy) { policy.blank = false; });
  waits("role: ", [](ListPolicy& policy) { policy.tftp_role = CertificateRole::kTftp; });
}

TEST_F(ListApprovalTest, AListThatAPhoneCannotReadIsRefused) {
  RunByHand(
      fmt::format("INSERT INTO device (cluster_id, name, model, added_by) VALUES (1, '{}', '8845', 'test')", kPhone));
  ChangePolicy([](ListPolicy& policy) { policy.digest = DigestAlgorithm::kSha512; });
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, HasSubstr("not recorded to read SHA-512"));
}

TEST_F(ListApprovalTest, ADevicesListOfSignerVersion11NeedsThatAbility) {
  const auto record = [&](bool version_1_1) {
    ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
      return PhoneReading(connection, 1).Record(kPhone, "", {.version_1_1 = version_1_1}, kTestActor);
    }));
  };
  record(true);
  ASSERT_OK(InStore([](Connection&, ListStore& store) {
    return store.PutList(
        {.kind = ListKind::kItl, .tftp_server = "tftp1", .device = kPhone, .signer_version = kSignerVersionWithEc},
        kTestActor);
  }));
  ASSERT_OK(Publish());
  const ListFilter of_phone = Of(ListKind::kItl, "tftp1", kPhone);
  EXPECT_EQ(List(of_phone).current->number, 1);
  record(false);
  AddListed(MakePhoneFacing("tvs2"));
  ASSERT_OK(Publish());
  EXPECT_EQ(List(of_phone).current->number, 1);
  EXPECT_THAT(List(of_phone).candidate->reason, HasSubstr("is not recorded to read its own list any more"));
}

TEST_F(ListApprovalTest, NodesThatWereNotAskedDoNotVouch) {
  AddListed(MakePhoneFacing("tvs2"));
  const PublishOrder order = Approved();
  // As when the signer is replaced between the question and the transaction.
  ASSERT_OK_AND_ASSIGN(const PublishResult result,
                       InStore([&](Connection& connection, ListStore& store) -> absl::StatusOr<PublishResult> {
                         ASSIGN_OR_RETURN(const auto policy, store.LockPolicy());
                         return ListRun(connection, 1, *keys_, {}, order, kTestNow).Publish(policy->policy);
                       }));
  ASSERT_THAT(result.lists, SizeIs(1));
  EXPECT_EQ(result.lists[0].outcome, ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->state, CandidateState::kNodes);
  EXPECT_THAT(List().candidate->reason, HasSubstr("have not been asked about its signer yet"));
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListApprovalTest, AnApprovalIsNotThatOfWhatPublishesItself) {
  SetListed(tvs_, false);
  NodesAreAway();
  ASSERT_EQ(Outcome(Approved("the machine is gone")), ListOutcome::kWaits);
  ASSERT_TRUE(List().candidate->approved_by.has_value());
  // It is not gone, and there is one more, which nobody has to approve.
  SetListed(tvs_, true);
  AddListed(MakePhoneFacing("tvs2"));
  PublishOrder own = Order("a change of the trust store");
  own.actor = "trustline:default/itld/node1";
  EXPECT_EQ(Outcome(own), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->state, CandidateState::kNodes);
  EXPECT_FALSE(List().candidate->approved_by.has_value());
  EXPECT_FALSE(List().candidate->approval_reason.has_value());
  SetVouching(absl::OkStatus());
  EXPECT_EQ(Outcome(own), ListOutcome::kPublished);
  EXPECT_EQ(List().current->published_by, own.actor);
  EXPECT_EQ(List().current->reason, own.reason);
}

TEST_F(ListApprovalTest, WhoApprovesLastPublishes) {
  SetListed(tvs_, false);
  NodesAreAway();
  ASSERT_EQ(Outcome(Approved("the machine is gone")), ListOutcome::kWaits);
  PublishOrder second = Approved("node2 is broken");
  second.actor = "trustline:default/person/second";
  second.without_nodes = {"node2"};
  SetVouching(absl::OkStatus());
  ASSERT_EQ(Outcome(second), ListOutcome::kPublished);
  EXPECT_EQ(List().current->published_by, second.actor);
  EXPECT_EQ(List().current->reason, second.reason);
}

TEST_F(ListApprovalTest, AnotherReasonIsNews) {
  AddListed(MakePhoneFacing("tvs2"));
  NodesAreAway();
  EXPECT_TRUE(Publish()->lists.at(0).is_news);
  EXPECT_FALSE(Publish()->lists.at(0).is_news);
  SetVouching(absl::FailedPreconditionError("node3 does not answer"));
  EXPECT_TRUE(Publish()->lists.at(0).is_news);
  EXPECT_THAT(List().candidate->reason, HasSubstr("node3 does not answer"));
}

TEST_F(ListApprovalTest, AnUnknownNodeIsAnError) {
  SetVouching(absl::NotFoundError("there is no approved TVS node node9"));
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_THAT(Publish(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("node9")));
  EXPECT_FALSE(List().candidate.has_value());
}

// A list of the order may be all right while another one of the cluster is not.
TEST_F(ListApprovalTest, AnOrderAboutTheCtlDoesNotPassOverTheItl) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const auto refused = StatusIs(kRefused, HasSubstr("the ITL of tftp1 has changes that nobody has approved"));
  // An ITL that would be refused: three SAST records; the CTL would have two.
  const Certificate third = MakePhoneFacing("third");
  AddListed(third, CertificateRole::kSast);
  EXPECT_THAT(TurnMixedModeOn(), refused);
  SetListed(third, false);
  // One that cannot be made.
  const Certificate odd = Ed25519Certificate();
  AddListed(odd);
  EXPECT_THAT(TurnMixedModeOn(), refused);
  SetListed(odd, false);
  EXPECT_OK(TurnMixedModeOn());
}

TEST_F(ListApprovalTest, AListThatCannotBeMadeUndoesTheChange) {
  PublishOrder order = Approved();
  order.must_publish = true;
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", order,
                                           [](Connection&, ListStore& store, const StoredPolicy&) {
                                             return store.PutList(
                                                 {.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, kTestActor);
                                           }),
              StatusIs(kRefused, HasSubstr("nothing was changed, because the CTL cannot be made")));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list"), 1);
}

TEST_F(ListApprovalTest, WhatIsHeldHoldsNoOtherList) {
  const Certificate capf = MakePhoneFacing("capf");
  AddListed(capf, CertificateRole::kCapf);
  AddCtl();
  ASSERT_OK(Publish());
  ASSERT_EQ(List(Of(ListKind::kCtl, "")).current->number, 1);
  // The ITL waits, tftp2's is held with it; the CTL has an addition alone.
  SetListed(tvs_, false);
  AddListed(MakePhoneFacing("capf2"), CertificateRole::kCapf);
  AddServer("tftp2");
  ASSERT_OK(Publish());
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp1")).candidate->state, CandidateState::kApproval);
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp2")).candidate->state, CandidateState::kApproval);
  EXPECT_FALSE(List(Of(ListKind::kCtl, "")).candidate.has_value());
  EXPECT_EQ(List(Of(ListKind::kCtl, "")).current->number, 2);
}

TEST_F(ListApprovalTest, BlankRecordsVouchForTheirRoleAlone) {
  const Certificate capf = MakePhoneFacing("capf", kTestNow + absl::Hours(1));
  AddListed(capf, CertificateRole::kCapf);
  SetListed(capf, false);
  ChangePolicy([](ListPolicy& policy) { policy.blank = true; });
  ASSERT_EQ(Outcome(Approved()), ListOutcome::kPublished);
  now_.Advance(absl::Hours(2));
  SetListed(capf, true);
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, AllOf(HasSubstr("CN=capf"), HasSubstr("would be new in the list")));
}

TEST_F(ListApprovalTest, AWarningOfSeveralListsIsOne) {
  AddListed(MakePhoneFacing("ending", kTestNow + absl::Hours(1)));
  AddServer("tftp2");
  ASSERT_OK(Publish());
  now_.Advance(absl::Hours(2));
  AddListed(MakePhoneFacing("tvs2"));
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_THAT(result.lists, SizeIs(2));
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("CN=ending")));
  EXPECT_TRUE(Becomes([&] { return Logged("ITL_WARNING") == 1; }));
  // A blank record has no certificate that could have ended.
  ChangePolicy([](ListPolicy& policy) { policy.blank = true; });
  EXPECT_THAT(Publish(Approved())->warnings, IsEmpty());
}

TEST_F(ListApprovalTest, TheAuditLogNamesWhatWasPublished) {
  AddServer("tftp2");
  ASSERT_OK(Publish());
  // The first server's certificate by hand, beside its own list's.
  ASSERT_EQ(Signers().at(1).tftp_server, "tftp1");
  RunByHand(fmt::format("UPDATE trust_entry SET listed = true WHERE role = 2 AND sha256 = '\\x{}'",
                        ToHex(Signers()[1].certificate.sha256())));
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  ASSERT_EQ(result.lists.at(0).outcome, ListOutcome::kRefused);
  ASSERT_EQ(result.lists.at(1).outcome, ListOutcome::kPublished);
  const std::string last = "FROM audit_event WHERE action = 'itl.publish' ORDER BY event_id DESC LIMIT 1";
  EXPECT_THAT(Text(("SELECT subject " + last).c_str()), HasSubstr("ITL of tftp2 generation 2"));
  EXPECT_THAT(Text(("SELECT detail " + last).c_str()), Not(HasSubstr("ITL of tftp1")));
}

TEST_F(ListApprovalTest, WithSomeOfTheListsAChangeIsNotDoneWith) {
  const auto considered = [&] { return Count("SELECT considered_commit FROM trust_list_policy"); };
  AddListed(MakePhoneFacing("tvs2"));
  const int64_t before = considered();
  PublishOrder some = Order();
  some.filter = Of(ListKind::kItl, "tftp1");
  ASSERT_EQ(Outcome(some), ListOutcome::kPublished);
  EXPECT_EQ(considered(), before);
  ASSERT_EQ(Outcome(), ListOutcome::kUnchanged);
  EXPECT_EQ(considered(), TrustCommit());
}

TEST_F(ListApprovalTest, ThatNothingHasChangedIsLogged) {
  ASSERT_EQ(Outcome(), ListOutcome::kUnchanged);
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_HASH_NOT_CHANGED") == 1; }));
  AddListed(MakePhoneFacing("tvs2"));
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  // Lines come in their order.
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_PUBLISHED") == 2; }));
  ASSERT_EQ(Outcome(), ListOutcome::kUnchanged);
  ASSERT_TRUE(Becomes([&] { return Logged("ITL_HASH_NOT_CHANGED") > 1; }));
  EXPECT_EQ(Logged("ITL_HASH_NOT_CHANGED"), 2u);
}

}  // namespace
}  // namespace trustline
