// What must not happen behind an administrator's back, and what must not stand in the way of a rescue.
#include <fstream>

#include "itl/list/list_testing.h"
#include "itl/list/phone_reading.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

constexpr char kConsidered[] = "SELECT considered_commit FROM trust_list_policy";

class ListCautionTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  }
  void ReplaceRecovery() {
    const TrustStoreCaller actor = caller();
    ASSERT_OK(InStore([&](Connection& connection, ListStore& store) -> absl::Status {
      ASSIGN_OR_RETURN(const auto policy, store.LockPolicy());
      return ListSigners(connection, actor, *keys_, now_.Now()).MakeRecovery(policy->policy, "lost").status();
    }));
  }
};

TEST_F(ListCautionTest, ACertificateThatNoListCanHaveIsRefusedAndStopsNoRescue) {
  AddListed(Ed25519Certificate());
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, AllOf(HasSubstr("CN=odd"), HasSubstr("--unlisted")));
  // It is told once.
  EXPECT_FALSE(Publish()->lists.at(0).is_news);
  PublishOrder order = Approved();
  order.must_publish = true;
  order.to_local_signer = true;
  ASSERT_OK_AND_ASSIGN(const PublishResult reset,
                       publisher_->Resign(1, "default", true, order, [](Connection&, ListStore&, const StoredPolicy&) {
                         return absl::OkStatus();
                       }));
  EXPECT_EQ(reset.lists.at(0).outcome, ListOutcome::kPublished);
}

TEST_F(ListCautionTest, AFirstListDoesNotSayWhatWaitsInOthers) {
  ReplaceRecovery();
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  // Neither another server's list nor the CTL is signed with a key that nobody has approved.
  AddServer("tftp2");
  ASSERT_OK(Publish());
  const StoredList second = List(Of(ListKind::kItl, "tftp2"));
  EXPECT_FALSE(second.current);
  ASSERT_TRUE(second.candidate);
  EXPECT_EQ(second.candidate->state, CandidateState::kApproval);
  EXPECT_THAT(second.candidate->reason, HasSubstr("what waits for approval in the ITL of tftp1 (`trustctl itl list`)"));
  EXPECT_THAT(TurnMixedModeOn(), StatusIs(kRefused, HasSubstr("nobody has approved")));

  // Once that one is published, the first list is looked at again, and needs nobody.
  ASSERT_NE(Count(kConsidered), -1);
  PublishOrder first = Approved();
  first.filter.tftp_server = "tftp1";
  ASSERT_EQ(Outcome(first), ListOutcome::kPublished);
  EXPECT_EQ(Count(kConsidered), -1);
  ASSERT_OK(Publish());
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp2")).current->number, 1);
  EXPECT_NE(Count(kConsidered), -1);
}

TEST_F(ListCautionTest, AFirstListOfAQuietClusterPublishesItself) {
  AddListed(MakePhoneFacing("tvs"));
  AddServer("tftp2");
  ASSERT_OK(Publish());
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp2")).current->number, 1);
}

TEST_F(ListCautionTest, WhatHasEndedInOneListIsNotNewInAnother) {
  AddListed(MakePhoneFacing("tvs", kTestNow + absl::Hours(1)));
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  now_.Advance(absl::Hours(2));
  AddServer("tftp2");
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp2")).current->number, 1);
  EXPECT_THAT(result.warnings, Contains(AllOf(HasSubstr("CN=tvs"), HasSubstr("has expired"))));
}

TEST_F(ListCautionTest, ADeviceThatCannotReadItsListAnyMoreKeepsTheOneThatItHas) {
  const auto record = [&](bool sha512) {
    ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
      return PhoneReading(connection, 1).Record("SEP001122334455", "", {.sha512 = sha512}, kTestActor);
    }));
  };
  record(true);
  ASSERT_OK(InStore([](Connection&, ListStore& store) {
    return store.PutList({.kind = ListKind::kItl,
                          .tftp_server = "tftp1",
                          .device = "SEP001122334455",
                          .digest = DigestAlgorithm::kSha512},
                         kTestActor);
  }));
  const ListFilter of_device = {.kind = ListKind::kItl, .tftp_server = "tftp1", .device = "SEP001122334455"};
  ASSERT_OK(Publish());
  EXPECT_EQ(List(of_device).current->number, 1);
  record(false);
  AddListed(MakePhoneFacing("tvs"));
  ASSERT_OK(Publish());
  EXPECT_EQ(List(Of(ListKind::kItl, "tftp1")).current->number, 2);
  EXPECT_EQ(List(of_device).current->number, 1);
  EXPECT_THAT(List(of_device).candidate->reason, HasSubstr("is not recorded to read its own list any more"));
}

TEST_F(ListCautionTest, ACtlWithoutMixedModeNamesACapf) {
  ASSERT_OK(InStore([](Connection&, ListStore& store) {
    return store.PutList({.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, kTestActor);
  }));
  ASSERT_OK(Publish());
  EXPECT_THAT(List(Of(ListKind::kCtl, "")).candidate->reason, HasSubstr("no CAPF certificate is listed"));
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(Publish());
  EXPECT_EQ(List(Of(ListKind::kCtl, "")).current->records, 2);
}

TEST_F(ListCautionTest, ASignerStaysInTheTrustStore) {
  const auto remove = [&](const Certificate& certificate) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return TrustEditor(connection, caller()).Remove(PrefixOf(certificate.sha256()));
    });
  };
  const auto remove_role = [&](const Certificate& certificate, CertificateRole role) {
    TrustChange change;
    change.remove_roles = {role};
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return TrustEditor(connection, caller()).Set(PrefixOf(certificate.sha256()), change);
    });
  };
  const Certificate recovery = Recovery();
  const Certificate call_manager = Signers().at(1).certificate;
  const int64_t commit = TrustCommit();
  EXPECT_THAT(remove(recovery), StatusIs(kRefused, HasSubstr("signs trust lists")));
  EXPECT_THAT(remove(call_manager), StatusIs(kRefused, HasSubstr("signs trust lists")));
  EXPECT_THAT(remove_role(call_manager, CertificateRole::kSast), StatusIs(kRefused, HasSubstr("signs trust lists")));
  EXPECT_EQ(TrustCommit(), commit);
  // The one before signs the published list until the next one is out.
  ReplaceRecovery();
  EXPECT_THAT(remove(recovery), StatusIs(kRefused, HasSubstr("signs trust lists")));
  ASSERT_OK(Publish(Approved()));
  EXPECT_OK(remove(recovery));
}

TEST_F(ListCautionTest, AKeyThatCannotBeReadStopsItsOwnListsOnly) {
  const StoredSigner recovery = Signers().at(0);
  std::filesystem::permissions(KeyPath(recovery), std::filesystem::perms(0600));
  std::ofstream(KeyPath(recovery)) << "garbage";
  const std::unique_ptr<KeyFolder> keys = NewKeys();
  EXPECT_THAT(keys->CheckAll(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(recovery.key_name)));
  publisher_ = NewPublisher(*pool_, *keys);
  AddListed(MakePhoneFacing("tvs"));
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  PublishOrder order = Approved();
  order.to_local_signer = true;
  ASSERT_OK_AND_ASSIGN(const PublishResult reset,
                       publisher_->Resign(1, "default", true, order, [](Connection&, ListStore&, const StoredPolicy&) {
                         return absl::OkStatus();
                       }));
  EXPECT_THAT(reset.lists, SizeIs(1));
  EXPECT_EQ(reset.lists.at(0).outcome, ListOutcome::kPublished);
  publisher_.reset();
}

}  // namespace
}  // namespace trustline
