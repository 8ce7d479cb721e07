// The rollover of the keys that itld holds, to its end.
#include "itl/plan/plan_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class SignerRolloverTest : public PlanTest {
 protected:
  // Phones of a site from which no TVS was ever asked.
  void AddPhonesWithoutTvs(int first, int count) {
    AddPhones(first, count, "Bremen");
    ReportHolding(first, count, CurrentFile());
    now_.Advance(absl::Minutes(1));
  }
  absl::StatusOr<StoredPlan> MakeItlRecovery() { return Make(Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY)); }
  absl::StatusOr<StoredPlan> MakeCallManager() { return Make(Rollover(v1::PLAN_KIND_ROLLOVER_CALLMANAGER)); }
  void Register(int first, int count, bool registered) {
    StoreReports(1, first, count, [&](PhoneReport& report) {
      report.event = registered ? PhoneEventKind::kRegistered : PhoneEventKind::kUnregistered;
    });
    now_.Advance(absl::Minutes(1));
  }
  Certificate Made() { return *Certificate::FromDer(AsBytes(Plan().new_certificate)); }
  static std::string Name(const Certificate& certificate) { return certificate.subject().ToText(); }
  std::vector<std::string> TftpNames(const TrustList& list) {
    std::vector<std::string> names;
    for (const TrustListRecord& record : list.records) {
      if (record.role() == CertificateRole::kCcmTftp) names.push_back(Name(*record.certificate));
    }
    return names;
  }
  TrustList Ctl() { return *DecodeTrustList(AsBytes(FileOf(List(Of(ListKind::kCtl, ""))))); }
};

TEST_F(SignerRolloverTest, ItlRecoveryGoesOverWithBothInTheListsMeanwhile) {
  AddPhonesWithoutTvs(4, 2);
  const Certificate old = Recovery();
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, MakeItlRecovery());
  EXPECT_EQ(At(made), "made at make");
  EXPECT_EQ(At(GoOn()), "made at make") << "nothing is changed before it runs";
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 2);

  // The TVS nodes do not answer for the new key yet.
  SetVouching(absl::FailedPreconditionError("node2: it says invalid"));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at nodes");
  EXPECT_THAT(Progress(Plan()), HasSubstr("node2: it says invalid"));
  EXPECT_TRUE(IsTrusted(Made()));
  EXPECT_EQ(asked_roles_[Made().sha256()], CertificateRole::kSast);
  EXPECT_EQ(Generations(), 1);

  // Lists that name both; two phones have no other way to the new one.
  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Sasts(), ElementsAre(Name(old), Name(Made())));
  EXPECT_EQ(List().current->signer_sha256, old.sha256());
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("3 of 5 phones are ready (0 by their lists, 3 through a TVS); waits "
                                                "for 2: SEP000000000004, SEP000000000005"),
                                      HasSubstr("2 unproven")));
  EXPECT_EQ(States(Plan()),
            "make done, nodes done, publish done, reset skipped, wait waiting, switch ahead, reset again ahead, wait "
            "again ahead, retire ahead");
  ASSERT_OK_AND_ASSIGN(const GateAnswer answer, engine_->Ask(Plan()));
  const v1::PreFlight& asked = answer.report;
  EXPECT_EQ(CountOf(asked, v1::PHONE_VERDICT_UNPROVEN), 2);
  EXPECT_EQ(Generations(), 2) << "it was asked only";

  // One of them follows, then the other; the gate opens, and the new key signs.
  PhonesFollow(4, 1);
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()),
              HasSubstr("4 of 5 phones are ready (1 by their lists, 3 through a TVS); waits for 1: SEP000000000005;"));
  PhonesFollow(1, 5);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Recovery(), Made());
  EXPECT_THAT(Sasts(), ElementsAre(Name(Made()), Name(Signers().at(1).certificate)));
  EXPECT_EQ(List().current->signer_sha256, Made().sha256());
  EXPECT_EQ(Generations(), 4);
  EXPECT_FALSE(IsTrusted(old));
  EXPECT_OK(keys_->Find(
      Text(fmt::format("SELECT key_name FROM list_signer WHERE sha256 = '\\x{}'", ToHex(old.sha256())).c_str())))
      << "it can still rescue phones";
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE overlapping"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.step'"), 9);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action IN ('plan.make', 'plan.run', 'plan.done')"), 3);
}

TEST_F(SignerRolloverTest, APhoneThatSleptThroughoutFollowsByItsTvs) {
  const std::string first = CurrentFile();
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done") << "the TVS that all of them reach answers for every signer";
  // What it does when it wakes: its own list does not know the signer, and its TVS does.
  ReportHolding(1, 2, CurrentFile());
  now_.Advance(absl::Minutes(1));
  v1::PreFlight report;
  EXPECT_THAT(RemoveTrust(tvs_, {}, &report),
              StatusIs(kRefused, AllOf(HasSubstr("1 phone would be locked out"), HasSubstr("SEP000000000003"))));
  PhonesFollow();
  EXPECT_OK(RemoveTrust(tvs_));
}

TEST_F(SignerRolloverTest, RegisteredPhonesAreWaitedForUntilTheyHoldTheLists) {
  Register(1, 2, true);
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("waits for 2 registered phones with older lists: SEP000000000001, "
                                                "SEP000000000002;"),
                                      HasSubstr("trustctl plan resume --go-without 2")));
  // One takes them, the other one loses its power: it registers no more.
  PhonesFollow(1, 1);
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1 registered phone with older lists: SEP000000000002;"));
  now_.Advance(absl::Hours(3));
  EXPECT_EQ(At(GoOn()), "done") << "and the one that is registered for three hours without saying so again";
}

TEST_F(SignerRolloverTest, APlanGoesWithoutRegisteredPhonesByTheirNumber) {
  Register(1, 3, true);
  Register(3, 1, false);
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at wait");
  v1::ChangePlanRequest request;
  request.set_change(v1::ChangePlanRequest::CHANGE_RESUME);
  request.set_go_without(1);
  ASSERT_OK(ChangePlan(*engine_, caller(), request));
  EXPECT_EQ(At(GoOn()), "running at wait");
  request.set_go_without(-1);
  EXPECT_THAT(ChangePlan(*engine_, caller(), request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_go_without(2);
  ASSERT_OK(ChangePlan(*engine_, caller(), request));
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Plan().goes_without, 2);
  EXPECT_THAT(Plan().steps.at(4).progress, HasSubstr("; 2 registered phones with older lists are not waited for: SEP"));
}

TEST_F(SignerRolloverTest, RegisteredPhonesThatNoResetHelpsHoldUpNothing) {
  AddPhonesWithoutTvs(4, 1);
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at wait");
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "done");
  PhonesFollow();
  // It is back, and refuses the lists: it needs more than a reset, with this plan or without.
  Register(4, 1, true);
  ASSERT_OK(MakeCallManager());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(SignerRolloverTest, ASecondRolloverWaitsForWhoeverSleptThroughTheFirst) {
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done") << "all of them reach a TVS";
  PhonesFollow(1, 2);
  for (const v1::PlanKind kind : {v1::PLAN_KIND_ROLLOVER_ITLRECOVERY, v1::PLAN_KIND_ROLLOVER_CALLMANAGER}) {
    ASSERT_OK(Make(Rollover(kind)));
    ASSERT_OK(Run());
    EXPECT_EQ(At(GoOn()), "running at wait") << kind;
    EXPECT_THAT(Progress(Plan()),
                AllOf(HasSubstr("2 of 3 phones are ready"), HasSubstr("; waits for 1: SEP000000000003;"),
                      HasSubstr("has not followed the last change of signers yet")));
    ASSERT_OK(Abort());
    EXPECT_EQ(At(GoOn()), "aborted");
    PhonesFollow(1, 2);
  }
  PhonesFollow();
  ASSERT_OK(MakeCallManager());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(SignerRolloverTest, UnprovenPhonesAreAcceptedByTheirExactNumberWhenAGateWaitsForThem) {
  AddPhonesWithoutTvs(4, 2);
  ASSERT_OK(MakeItlRecovery());
  EXPECT_THAT(Change(v1::ChangePlanRequest::CHANGE_RUN, 2),
              StatusIs(kRefused, HasSubstr("plan 1 waits for no unproven phones now")));
  EXPECT_EQ(At(Plan()), "made at make");
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Resume(3), StatusIs(kRefused, HasSubstr("2 phones are unproven now, not 3")));
  EXPECT_THAT(Resume(0), StatusIs(kRefused, HasSubstr("2 phones are unproven now, not 0")));
  EXPECT_THAT(Resume(), StatusIs(kRefused, HasSubstr("goes on by itself")));
  ASSERT_OK(Resume(2));
  EXPECT_EQ(Plan().accepted_unproven, 2);
  EXPECT_EQ(Text("SELECT detail::json->>'phones' FROM audit_event WHERE action = 'plan.resume' AND outcome = 'done'"),
            "SEP000000000004, SEP000000000005");
  // One of them was seen meanwhile: the other one was accepted all the same.
  PhonesFollow(4, 1);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Text("SELECT string_agg(DISTINCT device, ' ') FROM preflight_waiver_phone"), "SEP000000000005");
  EXPECT_THAT(Plan().steps.at(4).progress, HasSubstr("4 of 5 phones are ready (1 by their lists, 3 through a TVS); "
                                                     "went on without 1, as accepted: SEP000000000005"));
}

TEST_F(SignerRolloverTest, WhoComesAfterTheAcceptanceIsNotAccepted) {
  AddPhonesWithoutTvs(4, 2);
  const std::string first = CurrentFile();
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at wait");
  ASSERT_OK(Resume(2));
  // As many as were accepted, and not the same.
  PhonesFollow(4, 1);
  AddPhones(6, 1, "Bremen");
  ReportHolding(6, 1, first);
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("waits for 1: SEP000000000006"),
                                      HasSubstr("1 of these was accepted before"), HasSubstr("--accept-unproven 2`")));
  ASSERT_OK(Resume(2));
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Text("SELECT string_agg(DISTINCT device, ' ' ORDER BY device) FROM preflight_waiver_phone"),
            "SEP000000000005 SEP000000000006");
}

TEST_F(SignerRolloverTest, TheCtlGoesWithTheItls) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(Publish());
  PhonesFollow();
  ASSERT_OK(TurnMixedModeOn());
  AddServer("node2");
  ASSERT_OK(Publish(Approved()));
  PhonesFollow();
  const Certificate old = Recovery();
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done");
  for (const StoredList& list :
       {List(Of(ListKind::kItl, "node1")), List(Of(ListKind::kItl, "node2")), List({.kind = ListKind::kCtl})}) {
    EXPECT_EQ(list.current->signer_sha256, Made().sha256());
  }
  EXPECT_THAT(RecordTexts(Ctl()), AllOf(Contains("SAST " + Name(Made())), Not(Contains("SAST " + Name(old)))));
}

TEST_F(SignerRolloverTest, TheCallManagerSignsConfigurationFilesWithTheNewKey) {
  AddPhonesWithoutTvs(4, 1);
  const Certificate old = Signers().at(1).certificate;
  const Certificate recovery = Recovery();
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, MakeCallManager());
  EXPECT_EQ(made.subject, "node1");
  ASSERT_OK(Run());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(engine_->Advance(1, 1), IsOkAndHolds(true));
  EXPECT_EQ(At(Plan()), "running at reset");
  EXPECT_THAT(TftpNames(Current()), ElementsAre(Name(old), Name(Made())));
  EXPECT_THAT(Sasts(), ElementsAre(Name(recovery), Name(old)));
  EXPECT_EQ(Signers().at(1).certificate, old) << "configuration files are signed as before";
  EXPECT_EQ(Current().records[1].certificate, old);
  EXPECT_EQ(Current().records[3].certificate, Made());
  // Phones take the list first, whose signer they know, and it names the new one.
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Signers().at(1).certificate, Made());
  EXPECT_THAT(TftpNames(Current()), ElementsAre(Name(Made())));
  EXPECT_THAT(Sasts(), ElementsAre(Name(recovery), Name(Made())));
  EXPECT_FALSE(IsTrusted(old));
  EXPECT_EQ(List().current->signer_sha256, recovery.sha256());
}

TEST_F(SignerRolloverTest, ACallManagerStandsInTheCtlToo) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(Publish());
  ASSERT_OK(TurnMixedModeOn());
  PhonesFollow();
  const Certificate old = Signers().at(1).certificate;
  ASSERT_OK(MakeCallManager());
  ASSERT_OK(Run());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(engine_->Advance(1, 1), IsOkAndHolds(true));
  EXPECT_THAT(TftpNames(Ctl()), ElementsAre(Name(old), Name(Made())));
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_THAT(TftpNames(Ctl()), ElementsAre(Name(Made())));
  EXPECT_EQ(Ctl().records[1].certificate, Made());
}

TEST_F(SignerRolloverTest, APlanThatCannotWorkIsNotMade) {
  v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_CALLMANAGER);
  request.set_tftp_server("node9");
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("node9")));
  request = Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY);
  request.set_reason(" ");
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--reason")));
  request.set_reason("two\nlines");
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one line")));
  request.set_reason("a test");
  request.set_hours("22-5");
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_hours("");
  request.set_wave(10'001);
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10000")));
  request.set_wave(0);
  request.set_hook("soap");
  EXPECT_THAT(Make(request), StatusIs(kRefused)) << "no hook is configured";
  EXPECT_THAT(Make(Rollover(v1::PLAN_KIND_UNSPECIFIED)), StatusIs(absl::StatusCode::kInvalidArgument));

  // Of two at once each would take the other's ways away.
  ASSERT_OK(MakeItlRecovery());
  EXPECT_THAT(MakeCallManager(), StatusIs(kRefused, HasSubstr("plan 1 of this cluster has not ended")));
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");

  // Lists that name two ITLRecovery keys have no room for a third signer.
  PublishOrder order = Approved();
  order.filter.kind = ListKind::kItl;
  order.must_publish = order.to_local_signer = true;
  ASSERT_OK(publisher_->Resign(1, "default", true, order,
                               [](Connection&, ListStore&, const StoredPolicy&) { return absl::OkStatus(); }));
  EXPECT_THAT(MakeItlRecovery(), StatusIs(kRefused, HasSubstr("signed with its server's own key")));
  EXPECT_THAT(MakeCallManager(), StatusIs(kRefused, HasSubstr("signed with its server's own key")));
}

TEST_F(SignerRolloverTest, AKeyThatIsNotHereSignsNothing) {
  std::filesystem::remove(KeyPath(Signers().at(0)));
  Restart();
  EXPECT_THAT(MakeItlRecovery(), StatusIs(kRefused, HasSubstr("signed with the present ITLRecovery key")));
}

TEST_F(SignerRolloverTest, ALostKeyStopsThePlan) {
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  SetVouching(absl::FailedPreconditionError("not yet"));
  ASSERT_EQ(At(GoOn()), "running at nodes");
  const std::string path = folder_.path() / "keys" / (Plan().new_key_name + ".key");
  const std::string file = ReadTestFile(path);
  std::filesystem::remove(path);
  Restart();
  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "stopped at wait") << "its pre-flight makes the lists";
  EXPECT_THAT(Plan().state_reason, AllOf(HasSubstr("step 5 failed"), HasSubstr("trustctl plan resume 1"),
                                         HasSubstr("trustctl plan abort 1")));
  EXPECT_EQ(At(GoOn()), "stopped at wait") << "it does not go on by itself";
  EXPECT_EQ(Generations(), 2);
  folder_.WriteFile("keys/" + Plan().new_key_name + ".key", file);
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Plan().state_reason, "");
}

TEST_F(SignerRolloverTest, WhatSomebodyElseChangesStopsThePlan) {
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  SetVouching(absl::FailedPreconditionError("not yet"));
  ASSERT_EQ(At(GoOn()), "running at nodes");
  ASSERT_OK(ReplaceRecovery());
  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "stopped at publish");
  // The lists have its change as a candidate.
  EXPECT_THAT(Plan().state_reason, HasSubstr("has changes that nobody has approved"));
  ASSERT_OK(Publish(Approved()));
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "stopped at publish");
  EXPECT_THAT(Plan().state_reason, HasSubstr("somebody changed ITLRecovery meanwhile"));
  const Certificate present = Recovery();
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_EQ(Recovery(), present);
  EXPECT_FALSE(IsTrusted(Made()));
}

TEST_F(SignerRolloverTest, AnAbortSaysWhatHelpsWhenSomebodyReplacedTheKeyOfThePlan) {
  Register(1, 1, true);
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at wait");
  PhonesFollow();
  ASSERT_EQ(At(GoOn()), "running at wait again");
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(Publish(Approved()));
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_THAT(Plan().state_reason, AllOf(HasSubstr("step 6 stays as it is: somebody changed ITLRecovery meanwhile"),
                                         HasSubstr("`trustctl itl recovery restore --plan`")));
}

TEST_F(SignerRolloverTest, ANodeThatIsAwayIsWaitedForAtEachPublication) {
  AddPhonesWithoutTvs(4, 1);
  ASSERT_OK(MakeItlRecovery());
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at wait");
  PhonesFollow(1, 4);
  SetVouching(absl::FailedPreconditionError("node2: away"));
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), HasSubstr("node2: away"));
  SetVouching(absl::UnavailableError("the database is away"));
  EXPECT_THAT(engine_->Advance(1, 1), StatusIs(absl::StatusCode::kUnavailable));
  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(SignerRolloverTest, APausedPlanStaysWhereItIs) {
  ASSERT_OK(MakeItlRecovery());
  EXPECT_THAT(Resume(), StatusIs(kRefused, HasSubstr("run it")));
  EXPECT_THAT(Change(v1::ChangePlanRequest::CHANGE_PAUSE), StatusIs(kRefused));
  ASSERT_OK(Run());
  EXPECT_THAT(Run(), StatusIs(kRefused, HasSubstr("only one that has not begun")));
  EXPECT_THAT(engine_->Advance(1, 1), IsOkAndHolds(true));
  ASSERT_OK(Change(v1::ChangePlanRequest::CHANGE_PAUSE));
  EXPECT_EQ(At(GoOn()), "paused at nodes");
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "done");
  for (const auto change : {v1::ChangePlanRequest::CHANGE_RUN, v1::ChangePlanRequest::CHANGE_ABORT}) {
    v1::ChangePlanRequest request;
    request.set_number(1);
    request.set_change(change);
    EXPECT_THAT(ChangePlan(*engine_, caller(), request), StatusIs(kRefused, HasSubstr("has ended")));
  }
  EXPECT_THAT(Resume(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(MakeItlRecovery(), IsOk()) << "the next one may be made";
}

}  // namespace
}  // namespace trustline
