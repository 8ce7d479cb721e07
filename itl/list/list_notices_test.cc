// What an administrator is told of a cluster's trust lists.
#include "itl/list/list_notices.h"

#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kSoon = absl::Hours(24 * 90);

class ListNoticesTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    AddNode("node");
    RunByHand("UPDATE node SET approved_at = now(), approved_by = 'x'");
  }
  std::vector<std::string> Notices() {
    const auto notices = ListNotices(*itld_, 1, policy_, signers_, lists_, now_);
    EXPECT_OK(notices);
    return notices.value_or(std::vector<std::string>());
  }
  StoredList& AddList(const std::string& server) {
    StoredList& list = lists_.emplace_back();
    list.list_id = static_cast<int64_t>(lists_.size());
    list.form.tftp_server = server;
    return list;
  }
  void AddWaiting(const std::string& server, CandidateState state, const std::string& reason) {
    AddList(server).candidate = {.state = state, .reason = reason, .changes = "", .since = kTestNow - kDay};
  }
  void AddSigner(const std::string& server, const std::string& common_name, absl::Time not_after) {
    signers_.push_back({.tftp_server = server,
                        .certificate = MakePhoneFacing(common_name, not_after),
                        .key_name = "",
                        .reason = "",
                        .created_at = kTestNow});
  }
  void AddNode(const std::string& name) {
    RunByHand(fmt::format(
        "INSERT INTO node (name, identity, identity_expires_at) VALUES ('{0}', 'trustline:default/tvsd/{0}', now())",
        name));
  }

  absl::Time now_ = kTestNow;
  StoredPolicy policy_;
  std::vector<StoredSigner> signers_;
  std::vector<StoredList> lists_;
};

TEST_F(ListNoticesTest, OfAQuietClusterThereAreNone) {
  AddList("tftp1");
  AddSigner("", "recovery", kTestNow + 365 * kDay);
  EXPECT_THAT(Notices(), IsEmpty());
}

TEST_F(ListNoticesTest, WhatIsNotPublishedIsNamedWithItsReason) {
  AddWaiting("tftp1", CandidateState::kApproval, "look at the changes");
  AddList("tftp2");
  AddWaiting("tftp3", CandidateState::kNodes, "node2 does not answer");
  AddWaiting("tftp4", CandidateState::kRefused, "the key is missing");
  lists_.back().form.device = "SEP001122334455";
  AddWaiting("", CandidateState::kApproval, "a server less");
  lists_.back().form.kind = ListKind::kCtl;
  EXPECT_THAT(Notices(),
              ElementsAre("the ITL of tftp1 has changes that wait for an administrator since 2026-11-30T00:00:00Z: "
                          "look at the changes",
                          "the ITL of tftp3 has changes that wait for TVS nodes since 2026-11-30T00:00:00Z: node2 does "
                          "not answer",
                          "the ITL of tftp4 for SEP001122334455 has changes that are refused since "
                          "2026-11-30T00:00:00Z: the key is missing",
                          "the CTL has changes that wait for an administrator since 2026-11-30T00:00:00Z: a server "
                          "less"));
}

TEST_F(ListNoticesTest, TenListsAreNamedAndTheOthersCounted) {
  for (int i = 1; i <= 10; ++i) AddWaiting(fmt::format("tftp{}", i), CandidateState::kNodes, "node2");
  EXPECT_THAT(Notices(), AllOf(SizeIs(10), Each(HasSubstr("wait for TVS nodes")), Contains(HasSubstr("of tftp10 "))));
  AddWaiting("tftp11", CandidateState::kRefused, "no key");
  EXPECT_THAT(Notices(), AllOf(SizeIs(11), Not(Contains(HasSubstr("tftp11"))),
                               Contains(AllOf(StartsWith("lists with changes that are not published, besides: 1;"),
                                              HasSubstr("trustctl itl list")))));
  // Those with nothing that waits do not count.
  AddList("tftp12");
  AddWaiting("tftp13", CandidateState::kApproval, "removal");
  EXPECT_THAT(Notices(), AllOf(SizeIs(11), Contains(HasSubstr("besides: 2;"))));
}

TEST_F(ListNoticesTest, BlankListsAreSaidWithWhoseTheyAre) {
  policy_.policy.blank = true;
  policy_.blank_since = kTestNow - 2 * kDay;
  policy_.blank_by = kTestActor;
  EXPECT_THAT(Notices(), ElementsAre(AllOf(HasSubstr("the lists are blank since 2026-11-29T00:00:00Z"),
                                           HasSubstr(kTestActor), HasSubstr("trustctl itl blank off"))));
}

TEST_F(ListNoticesTest, SignersThatEndAreNamed) {
  AddSigner("", "ends-later", kTestNow + kSoon + kDay);
  AddSigner("tftp1", "ends-a-second-later", kTestNow + kSoon + absl::Seconds(1));
  EXPECT_THAT(Notices(), IsEmpty());

  signers_.clear();
  AddSigner("", "ends-then", kTestNow + kSoon);
  AddSigner("tftp1", "ends-sooner", kTestNow + kSoon - kDay);
  AddSigner("tftp2", "ends-tomorrow", kTestNow + kDay);
  AddSigner("tftp3", "ended-yesterday", kTestNow - kDay);
  EXPECT_THAT(
      Notices(),
      ElementsAre("the certificate CN=ends-then,O=Example,OU=Phones of ITLRecovery ends on 2027-03-01T00:00:00Z",
                  "the certificate CN=ends-sooner,O=Example,OU=Phones of TFTP server tftp1 ends on "
                  "2027-02-28T00:00:00Z",
                  "the certificate CN=ends-tomorrow,O=Example,OU=Phones of TFTP server tftp2 ends on "
                  "2026-12-02T00:00:00Z",
                  "the certificate CN=ended-yesterday,O=Example,OU=Phones of TFTP server tftp3 has ended on "
                  "2026-11-30T00:00:00Z"));
}

// A certificate is good in its last second.
TEST_F(ListNoticesTest, ASignerHasEndedAfterItsLastSecond) {
  AddSigner("", "ends-now", kTestNow);
  AddSigner("tftp1", "ended-just-now", kTestNow - absl::Seconds(1));
  EXPECT_THAT(Notices(), ElementsAre(AllOf(HasSubstr("CN=ends-now,"), HasSubstr("ITLRecovery ends on")),
                                     AllOf(HasSubstr("CN=ended-just-now,"), HasSubstr("tftp1 has ended on"))));
}

TEST_F(ListNoticesTest, ListedCertificatesThatPhonesMayNotTakeAreNamed) {
  const auto list = [&](const Certificate& certificate) {
    ASSERT_OK(Import({certificate}, {.roles = {CertificateRole::kAppServer}, .listed = true}));
  };
  list(MakePhoneFacing("good"));
  list(MakeSelfSigned(LeafForm("curve")).certificate);
  list(MakePhoneFacing("ended", kTestNow + kDay));
  ASSERT_OK(Import({MakePhoneFacing("vouched", kTestNow + kDay)}, {.roles = {CertificateRole::kAppServer}}));
  now_ = kTestNow + 2 * kDay;
  EXPECT_THAT(Notices(), ElementsAre(AllOf(StartsWith("listed: CN=curve,"), HasSubstr("has an EC key")),
                                     AllOf(StartsWith("listed: CN=ended,"), HasSubstr("has expired"))));
  policy_.policy.signer_version = kSignerVersionWithEc;
  EXPECT_THAT(Notices(), ElementsAre(HasSubstr("CN=ended")));
  for (int i = 0; i < 10; ++i) list(MakePhoneFacing(fmt::format("e{}", i), kTestNow + kDay));
  EXPECT_THAT(Notices(), AllOf(SizeIs(11), Contains("listed certificates that phones may not take, besides: 1")));
}

TEST_F(ListNoticesTest, NodesThatWaitForApprovalAreNamed) {
  AddNode("node2");
  AddNode("node1");
  AddNode("node3");
  AddNode("node4");
  RunByHand("UPDATE node SET approved_at = now(), approved_by = 'x' WHERE name = 'node3'");
  RunByHand("UPDATE node SET removed_at = now() WHERE name IN ('node', 'node4')");
  EXPECT_THAT(Notices(), ElementsAre(AllOf(HasSubstr("the node node1 has joined"), HasSubstr("no list names it"),
                                           HasSubstr("trustctl node approve node1")),
                                     HasSubstr("trustctl node approve node2")));
}

TEST_F(ListNoticesTest, PhonesNeedANodeToAsk) {
  RunByHand("UPDATE node SET removed_at = now()");
  EXPECT_THAT(Notices(), ElementsAre(AllOf(HasSubstr("no TVS node is approved"), HasSubstr("trustctl node approve"))));
  AddNode("node2");
  EXPECT_THAT(Notices(), ElementsAre(HasSubstr("the node node2 has joined"), HasSubstr("no TVS node is approved")));
}

TEST_F(ListNoticesTest, AnErrorOfTheDatabaseIsOne) {
  RunByHand("REVOKE SELECT ON node FROM trustline_itld");
  EXPECT_FALSE(ListNotices(*itld_, 1, policy_, signers_, lists_, kTestNow).ok());
}

}  // namespace
}  // namespace trustline
