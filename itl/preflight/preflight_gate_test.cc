#include "itl/preflight/preflight_gate.h"

#include "common/rpc/proto_time.h"
#include "gmock/gmock.h"
#include "itl/preflight/guarded_lists_testing.h"
#include "itl/preflight/world_reader.h"
#include "itl/question/tvs_reach_store.h"
#include "itl/trust_store/crl_editor.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// node1 makes lists; its phones hold the first one, and ask a TVS of the same name.
class PreFlightGateTest : public GuardedListsTest {
 protected:
  void SetUp() override {
    GuardedListsTest::SetUp();
    AddServer("node1");
    AddNode("tvs1", tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
    first_ = FileOf(List());
    AddPhones(1, 3, "Berlin");
    AddPhones(4, 2, "Bremen");
    SiteReaches("Berlin", "tvs1");
    now_.Advance(absl::Minutes(1));
  }
  absl::Status PublishNow(const Caution& caution = {}) {
    PublishOrder order = Approved();
    order.report = &report_;
    order.caution = caution;
    return Publish(order).status();
  }
  static Caution Accept(int64_t unproven) {
    return {.plan = false, .accept_unproven = unproven, .override_reason = "", .accepted = {}};
  }

  const Certificate tvs_ = MakePhoneFacing("tvs1");
  std::string first_;
  v1::PreFlight report_;
};

TEST_F(PreFlightGateTest, TheOnlyTvsOfPhonesStaysWhileTheirSignerIsReplaced) {
  ReportHolding(1, 5, first_);
  EXPECT_THAT(ReplaceRecovery({}, &report_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("of 2 phones too little is known"),
                             HasSubstr("SEP000000000004, SEP000000000005"), HasSubstr("--accept-unproven 2"))));
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_TVS), 3);
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_UNPROVEN), 2);
  EXPECT_FALSE(report_.made());
  EXPECT_EQ(Signers().size(), 2) << "nothing was changed";

  EXPECT_THAT(ReplaceRecovery(Accept(3)), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                   HasSubstr("--accept-unproven 3 was said, and 2 phones are")));
  ASSERT_OK(ReplaceRecovery(Accept(2)));
  EXPECT_EQ(Count("SELECT count(*) FROM preflight_waiver_phone WHERE verdict = 'unproven'"), 2);

  // The lists wait for an administrator, but their signer is to change.
  EXPECT_THAT(RemoveTrust(tvs_, {}, &report_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("5 phones would be locked out"), HasSubstr("SEP000000000001"),
                             HasSubstr("SEP000000000005"), HasSubstr("no TVS that they name would be left"))));

  // Some have the new list: the others are still in the way.
  ASSERT_OK(PublishNow(Accept(2)));
  const std::string second = FileOf(List());
  ASSERT_NE(first_, second);
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 2, second);
  ReportHolding(4, 1, second);
  EXPECT_THAT(RemoveTrust(tvs_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          AllOf(HasSubstr("2 phones would be locked out"), HasSubstr("SEP000000000003"),
                                                Not(HasSubstr("SEP000000000001")))));
  ReportHolding(3, 1, second);
  ReportHolding(5, 1, second);
  EXPECT_OK(RemoveTrust(tvs_, {}, &report_));
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_LIST), 5);
  EXPECT_TRUE(report_.made());
}

TEST_F(PreFlightGateTest, WhatANodePresentsIsATrustChangeToo) {
  RunByHand("DELETE FROM device WHERE site = 'Bremen'");
  ReportHolding(1, 3, first_);
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(PublishNow());
  const Certificate next = MakePhoneFacing("tvs1 next");
  AddListed(next);
  ASSERT_OK(PublishNow());
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 1, FileOf(List()));
  const auto present = [&](const std::vector<Sha256Digest>& certificates) {
    return Guarded("node.present", {}, &report_, [&](Connection& connection) {
      TvsReachStore(connection, 1, now_.Now()).Presents("tvs1", certificates);
      return absl::OkStatus();
    });
  };
  // Two slept through the change of the signer, and know this TVS by its old certificate alone.
  EXPECT_THAT(present({next.sha256()}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("2 phones would be locked out"), HasSubstr("SEP000000000002"),
                             Not(HasSubstr("SEP000000000001")))));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_node_certificate"), 0);
  EXPECT_OK(present({tvs_.sha256(), next.sha256()})) << "beside the old one";
  ReportHolding(1, 3, FileOf(List()));
  EXPECT_OK(present({next.sha256()}));
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_LIST), 3);
}

TEST_F(PreFlightGateTest, APlanChangesNothing) {
  ReportHolding(1, 5, first_);
  const int64_t commit = TrustCommit();
  ASSERT_OK(RemoveTrust(tvs_, {.plan = true, .accept_unproven = {}, .override_reason = "", .accepted = {}}, &report_));
  EXPECT_EQ(report_.phones(), 5);
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_LIST), 5);
  EXPECT_EQ(report_.refusal(), "");
  EXPECT_FALSE(report_.made());
  EXPECT_EQ(TrustCommit(), commit);

  ASSERT_OK(ReplaceRecovery({.plan = true, .accept_unproven = {}, .override_reason = "", .accepted = {}}, &report_));
  EXPECT_THAT(report_.refusal(), HasSubstr("--accept-unproven 2"));
  ASSERT_EQ(report_.named_size(), 2);
  EXPECT_EQ(report_.named(0).device(), "SEP000000000004");
  EXPECT_EQ(TrustCommit(), commit);
}

TEST_F(PreFlightGateTest, ANumberOfUnprovenPhonesIsExactWhenThereAreNoneToo) {
  ReportHolding(1, 5, first_);
  const auto removed = [&](const Caution& caution) { return RemoveTrust(tvs_, caution); };
  EXPECT_THAT(removed(Accept(1)), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("--accept-unproven 1 was said, and no phone is unproven")));
  EXPECT_OK(removed(Accept(0)));
}

TEST_F(PreFlightGateTest, NamesAcceptNobodyElseAndForNoOtherReason) {
  ReportHolding(1, 5, first_);
  const std::string reason(ReasonText(VerdictReason::kNoTvsSeen));
  const auto accept = [](const UnprovenPhones& names) {
    Caution caution;
    caution.accepted = std::make_shared<const UnprovenPhones>(names);
    return caution;
  };
  EXPECT_THAT(ReplaceRecovery(
                  accept({{"SEP000000000004", reason}, {"SEP000000000005", "another"}, {"SEP000000000009", reason}})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of 2 phones too little is known")));
  EXPECT_OK(ReplaceRecovery(accept({{"SEP000000000004", reason}, {"SEP000000000005", reason}})));
}

TEST_F(PreFlightGateTest, APlanSaysToOfAChangeThatIsRefusedForAnotherReason) {
  const auto change = [&](const Caution& caution) {
    return Guarded("itl.policy", caution, &report_,
                   [](Connection&) { return absl::FailedPreconditionError("another change waits"); });
  };
  Caution plan;
  plan.plan = true;
  EXPECT_OK(change(plan));
  EXPECT_EQ(report_.refusal(), "another change waits");
  EXPECT_FALSE(report_.made());
  EXPECT_THAT(change({}), StatusIs(absl::StatusCode::kFailedPrecondition, "another change waits"));
}

TEST_F(PreFlightGateTest, WhatSpeaksAgainstAChangeBesidesThePhonesRefusesItToo) {
  ReportHolding(1, 5, first_);
  std::string objection;
  const auto change = [&](const Caution& caution, const std::string& said) {
    return RunGuarded(*pool_, gate_.get(),
                      {.cluster_id = 1,
                       .actor = kTestActor,
                       .action = "trust.set",
                       .subject = "a test",
                       .caution = caution,
                       .report = &report_,
                       .objection = &objection},
                      [&](Connection&) {
                        objection = said;
                        return absl::OkStatus();
                      });
  };
  EXPECT_OK(change({}, ""));
  EXPECT_TRUE(report_.made());
  EXPECT_THAT(change({}, "tvs1 presents it"), StatusIs(absl::StatusCode::kFailedPrecondition, "tvs1 presents it"));
  EXPECT_FALSE(report_.made());
  Caution plan;
  plan.plan = true;
  EXPECT_OK(change(plan, "tvs1 presents it"));
  EXPECT_EQ(report_.refusal(), "tvs1 presents it");
  EXPECT_EQ(report_.phones(), 5);
  Caution override_refusal;
  override_refusal.override_reason = "it is scrapped";
  EXPECT_OK(change(override_refusal, "tvs1 presents it"));
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'preflight.override'"),
              AllOf(HasSubstr("it is scrapped"), HasSubstr("tvs1 presents it"), HasSubstr("\"locked\":\"0\"")));
}

TEST_F(PreFlightGateTest, WhoAcceptedUnprovenPhonesAndWhyIsAudited) {
  ReportHolding(1, 5, first_);
  ASSERT_OK(ReplaceRecovery(Accept(2)));
  ASSERT_OK(PublishNow(Accept(2)));
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'preflight.accept_unproven' AND detail LIKE "
                   "'%itl.publish%'"),
              AllOf(HasSubstr("looked at"), HasSubstr("SEP000000000004")));
}

TEST_F(PreFlightGateTest, AnApprovalAfterWhichAListWaitsForAnotherSaysSo) {
  ReportHolding(1, 5, first_);
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(InStore([](Connection&, ListStore& store) {
    return store.PutList({.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, kTestActor);
  }));
  ASSERT_OK(PublishNow());
  const std::string before = FileOf(List(Of(ListKind::kItl, "node1")));
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 5, before);
  ASSERT_OK(ReplaceRecovery(Accept(2)));
  ASSERT_OK(Publish());
  PublishOrder itl = Approved();
  report_.Clear();
  itl.approves = Of(ListKind::kItl, "node1");
  itl.caution.plan = true;
  itl.report = &report_;
  ASSERT_OK(Publish(itl));
  EXPECT_THAT(report_.refusal(), AllOf(HasSubstr("no list would be published"),
                                       HasSubstr("the ITL of node1 would wait"), HasSubstr("trustctl ctl publish")));
  EXPECT_FALSE(report_.made());
  EXPECT_TRUE(FileOf(List(Of(ListKind::kItl, "node1"))) == before);
  // Both at once.
  itl.approves = {};
  ASSERT_OK(Publish(itl));
  EXPECT_THAT(report_.refusal(), HasSubstr("--accept-unproven 2"));
}

TEST_F(PreFlightGateTest, ANodeThatNeedNotAnswerIsNobodysWay) {
  RunByHand("DELETE FROM device WHERE site = 'Bremen'");
  ReportHolding(1, 3, first_);
  ASSERT_OK(ReplaceRecovery());
  PublishOrder order = Approved();
  order.report = &report_;
  order.without_nodes = {"tvs1"};
  EXPECT_THAT(Publish(order),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("of 3 phones too little is known"),
                                                                    HasSubstr("no TVS that answers was asked"))));
  order.without_nodes = {};
  EXPECT_OK(Publish(order));
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_TVS), 3);
}

TEST_F(PreFlightGateTest, ANodeThatWasNotHeardOfForLongIsNobodysWay) {
  RunByHand("DELETE FROM device WHERE site = 'Bremen'");
  ReportHolding(1, 3, first_);
  const auto say = [&] {
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
      TvsReachStore(connection, 1, now_.Now()).Presents("tvs1", {tvs_.sha256()});
      return absl::OkStatus();
    }));
  };
  say();
  now_.Advance(kNodeSilence + absl::Seconds(1));
  EXPECT_THAT(ReplaceRecovery(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of 3 phones too little is known")));
  say();
  EXPECT_OK(ReplaceRecovery());
  // Whoever has no other way is not given up with it.
  ASSERT_OK(PublishNow());
  now_.Advance(kNodeSilence + absl::Seconds(1));
  EXPECT_THAT(RemoveTrust(tvs_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("3 phones would be locked out")));
}

TEST_F(PreFlightGateTest, AWayThatEndsWithinADayIsNoneAndHasItsPlaceInTheForecast) {
  const Certificate short_lived = MakePhoneFacing("tvs2", now_.Now() + absl::Hours(30));
  AddNode("tvs2", short_lived);
  SiteReaches("Bremen", "tvs2");
  ReportHolding(1, 5, first_);
  ASSERT_OK(PublishNow());
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 5, FileOf(List()));
  Caution plan;
  plan.plan = true;
  ASSERT_OK(ReplaceRecovery(plan, &report_));
  EXPECT_EQ(report_.refusal(), "");
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_TVS), 5);
  now_.Advance(absl::Hours(10));
  EXPECT_THAT(ReplaceRecovery(),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("of 2 phones too little is known"),
                                                                    HasSubstr("SEP000000000004, SEP000000000005"))));
  // What does not need it is not held up.
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  EXPECT_EQ(Outcome(), ListOutcome::kPublished);

  now_.Advance(absl::Hours(24));
  ASSERT_OK_AND_ASSIGN(
      const v1::ForecastExpiryResponse forecast, RunInTransaction(*itld_, {}, [&](Connection& connection) {
        return ForecastExpiry(connection, 1, memory_, keys_.get(), now_.Now(), now_.Now() + absl::Hours(24));
      }));
  ASSERT_EQ(forecast.expiries_size(), 1);
  EXPECT_EQ(forecast.expiries(0).standing(), "TVS of tvs2") << "it has ended, and nobody has replaced it";
  EXPECT_EQ(FromProtoTime(forecast.expiries(0).at()), short_lived.not_after());
}

TEST_F(PreFlightGateTest, ARefusalIsAudited) {
  ReportHolding(1, 5, first_);
  ASSERT_THAT(ReplaceRecovery(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--accept-unproven 2")));
  ASSERT_OK(ReplaceRecovery({.plan = true, .accept_unproven = {}, .override_reason = "", .accepted = {}}));
  audit_->Stop();
  EXPECT_EQ(Text("SELECT string_agg(outcome || ' ' || (detail::json->>'unproven') || ' ' || (detail::json->>'locked'), "
                 "',') FROM "
                 "audit_event WHERE outcome = 'denied'"),
            "denied 2 0");
  EXPECT_THAT(Text("SELECT detail::json->>'reason' FROM audit_event WHERE outcome = 'denied'"),
              HasSubstr("SEP000000000004"));
}

TEST_F(PreFlightGateTest, AnOverrideIsOnRecordWithTheNames) {
  ReportHolding(1, 5, first_);
  ASSERT_OK(ReplaceRecovery(Accept(2)));
  EXPECT_OK(RemoveTrust(
      tvs_, {.plan = false, .accept_unproven = {}, .override_reason = "they are scrapped", .accepted = {}}));
  EXPECT_EQ(Text("SELECT string_agg(device, ' ' ORDER BY device) FROM preflight_waiver_phone WHERE verdict = 'locked'"),
            "SEP000000000001 SEP000000000002 SEP000000000003 SEP000000000004 SEP000000000005");
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'preflight.override'"),
              AllOf(HasSubstr("they are scrapped"), HasSubstr("SEP000000000003"), HasSubstr("\"locked\":\"5\"")));
}

TEST_F(PreFlightGateTest, WhatAPhoneMayHaveTakenSinceCountsToo) {
  ReportHolding(1, 3, first_);
  RunByHand("DELETE FROM device WHERE site = 'Bremen'");
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(PublishNow());
  now_.Advance(absl::Minutes(1));
  // Back to the key before, whose lists those refuse that took the second one.
  ASSERT_OK(Guarded("itl.recovery.restore", {}, &report_, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, 1);
    ASSIGN_OR_RETURN(const std::optional<StoredSigner> previous, store.PreviousRecovery());
    const TrustStoreCaller actor = caller();
    return ListSigners(connection, actor, *keys_, now_.Now()).RestoreRecovery(*previous, "a test");
  }));
  EXPECT_EQ(CountOf(report_, v1::PHONE_VERDICT_SAFE_BY_TVS), 3) << "they may hold either";
}

TEST_F(PreFlightGateTest, SilentAndUnknownPhonesAreUnproven) {
  ReportHolding(1, 1, first_);
  ReportHolding(2, 1, "a list that nobody knows");
  now_.Advance(absl::Hours(24 * 181));
  SiteReaches("Hamburg", "tvs1");
  ReportHolding(3, 1, first_);
  EXPECT_THAT(ReplaceRecovery({}, &report_), StatusIs(absl::StatusCode::kFailedPrecondition));
  std::vector<std::string> reasons;
  for (const auto& named : report_.named()) reasons.push_back(named.device() + ": " + named.reason());
  EXPECT_THAT(reasons, testing::ElementsAre(
                           HasSubstr("SEP000000000001"), HasSubstr("SEP000000000002: it holds a list whose content"),
                           HasSubstr("SEP000000000003"), HasSubstr("SEP000000000004: nobody whose word counts"),
                           HasSubstr("SEP000000000005: nobody whose word counts")));
}

TEST_F(PreFlightGateTest, AdditionsHarmNobodyAndGoOutByThemselves) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  EXPECT_EQ(Outcome(), ListOutcome::kPublished) << "although nothing is known of five phones";
}

TEST_F(PreFlightGateTest, WhatWouldGoOutByItselfWaitsForAnAdministratorBecauseOfPhones) {
  ReportHolding(1, 3, first_);
  // The same subject and role: a renewal. But it takes a TVS from the lists, and two phones are unknown.
  const Certificate renewed = MakePhoneFacing("tvs1", kTestNow + absl::Hours(24 * 700));
  AddListed(renewed);
  SetListed(tvs_, false);
  const absl::StatusOr<PublishResult> result = Publish();
  ASSERT_OK(result);
  EXPECT_EQ(result->lists.front().outcome, ListOutcome::kWaits);
  EXPECT_THAT(List().candidate->reason,
              AllOf(HasSubstr("of 2 phones too little is known"), HasSubstr("SEP000000000004")));
  EXPECT_THAT(PublishNow(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--accept-unproven 2")));
  PublishOrder order = Approved();
  order.caution = Accept(2);
  ASSERT_OK_AND_ASSIGN(const PublishResult accepted, Publish(order));
  EXPECT_EQ(accepted.lists.front().outcome, ListOutcome::kPublished);
}

TEST_F(PreFlightGateTest, ForgedReportsOpenNoGateAndBlockNothing) {
  ReportHolding(1, 5, first_);
  ASSERT_OK(ReplaceRecovery(Accept(2)));
  ASSERT_OK(PublishNow(Accept(2)));
  const std::string second = FileOf(List());
  now_.Advance(absl::Minutes(1));
  std::vector<PhoneReport> forged;
  for (int i = 1; i <= 5; ++i) {
    PhoneReport& report = forged.emplace_back();
    report.device = Device(i);
    report.at = now_.Now();
    report.basis = EvidenceBasis::kNone;
    report.source = "203.0.113.7";
    report.itl_server = "node1";
    report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(second))};
  }
  ASSERT_OK(reports_->Store(1, forged));
  EXPECT_THAT(RemoveTrust(tvs_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("5 phones would be locked")));

  ReportHolding(1, 5, second);
  for (PhoneReport& report : forged) report.itl.sha1 = Sha1(AsBytes(first_));
  ASSERT_OK(reports_->Store(1, forged));
  EXPECT_OK(RemoveTrust(tvs_));
}

TEST_F(PreFlightGateTest, TheForecastNamesWhomAnEndWillLock) {
  ReportHolding(1, 3, first_);
  RunByHand("DELETE FROM device WHERE site = 'Bremen'");
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(PublishNow());
  ASSERT_OK_AND_ASSIGN(
      const v1::ForecastExpiryResponse forecast, RunInTransaction(*itld_, {}, [&](Connection& connection) {
        return ForecastExpiry(connection, 1, memory_, keys_.get(), now_.Now(), now_.Now() + absl::Hours(24 * 366));
      }));
  ASSERT_GE(forecast.expiries_size(), 1);
  const auto& first = forecast.expiries(0);
  EXPECT_EQ(first.standing(), "TVS of tvs1");
  EXPECT_EQ(CountOf(first.preflight(), v1::PHONE_VERDICT_LOCKED), 3);
}

TEST_F(PreFlightGateTest, TheEndOfACrlIsForecastToo) {
  const Party authority = MakeSelfSigned(AuthorityForm("Enterprise"));
  const Party tvs = MakeIssued(TvsForm("tvs2.example", kTestNow - absl::Hours(24)), authority);
  ASSERT_OK(Import({authority.certificate}, {.anchor = true}));
  AddNode("tvs2", tvs.certificate);
  ASSERT_OK(PublishNow());
  RunByHand("DELETE FROM device WHERE site = 'Bremen'; DELETE FROM tvs_reach");
  SiteReaches("Berlin", "tvs2");
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 3, FileOf(List()));
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(PublishNow());
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    return CrlEditor(connection, caller()).Add(AsBytes(MakeCrl(authority, {.number = "01"})), now_.Now()).status();
  }));
  ASSERT_OK_AND_ASSIGN(
      const v1::ForecastExpiryResponse forecast, RunInTransaction(*itld_, {}, [&](Connection& connection) {
        return ForecastExpiry(connection, 1, memory_, keys_.get(), now_.Now(), now_.Now() + absl::Hours(24 * 30));
      }));
  ASSERT_EQ(forecast.expiries_size(), 1);
  const auto& end = forecast.expiries(0);
  EXPECT_EQ(end.standing(), "TVS of tvs2, by a CRL that ends then");
  EXPECT_EQ(FromProtoTime(end.at()), kTestNow + absl::Hours(24 * 7));
  EXPECT_EQ(CountOf(end.preflight(), v1::PHONE_VERDICT_UNPROVEN), 3) << "nobody saw them ask the other node";
}

}  // namespace
}  // namespace trustline
