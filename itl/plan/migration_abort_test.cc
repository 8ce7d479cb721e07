#include "itl/plan/migration_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class MigrationAbortTest : public MigrationTest {
 protected:
  void AbortAtEachStep(const std::function<void()>& follow) {
    for (const bool blank : {false, true}) {
      for (int done = 0; done < 8; ++done) {
        SCOPED_TRACE(fmt::format("{} after {} steps", blank ? "blank" : "signers", done));
        v1::MakePlanRequest request = Migrate("berlin");
        request.set_blank(blank);
        ASSERT_OK(Make(request));
        ASSERT_OK(Run());
        for (int i = 0; i < done; ++i) {
          ASSERT_OK(engine_->Advance(1, Plan().number));
          if (Plan().state == PlanState::kPaused) {
            ASSERT_OK(Resume());
          }
          if (blank) follow();
        }
        ASSERT_OK(Abort());
        const StoredPlan plan = GoOn();
        EXPECT_EQ(At(plan), "aborted");
        EXPECT_THAT(plan.state_reason, ::testing::StartsWith("all of its changes were taken back"));
        const bool was_blank = States(plan).find("blank on taken back") != std::string::npos;
        EXPECT_EQ(plan.state_reason.find("; but 3 phones may hold blank lists") != std::string::npos, was_blank);
        EXPECT_EQ(Trusted(1), before_);
        EXPECT_EQ(Trusted(there_), before_there_);
        EXPECT_EQ(Count("SELECT count(*) FROM trust_list_policy WHERE blank"), 0);
        EXPECT_THAT(RecordTexts(Current()), Not(::testing::Contains(HasSubstr("(blank)"))));
        follow();
      }
    }
  }
};

TEST_F(MigrationAbortTest, AnAbortTakesEverythingBackAtEachStep) {
  AbortAtEachStep([&] { PhonesFollow(); });
}

TEST_F(MigrationAbortTest, AnAbortTakesEverythingBackAtEachStepInMixedModeToo) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(Publish());
  ASSERT_OK(TurnMixedModeOn());
  before_ = Trusted(1);
  const auto ctl = [&] { return FileOf(List({.kind = ListKind::kCtl})); };
  const auto follow = [&] {
    PhonesFollow();
    StoreReports(1, 1, 3, [&](PhoneReport& report) {
      report.itl_server = "node1";
      report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(CurrentFile()))};
      report.ctl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(ctl()))};
    });
    now_.Advance(absl::Minutes(1));
  };
  follow();
  const std::vector<std::string> records = RecordTexts(*DecodeTrustList(AsBytes(ctl())));
  AbortAtEachStep(follow);
  EXPECT_EQ(RecordTexts(*DecodeTrustList(AsBytes(ctl()))), records);
}

TEST_F(MigrationAbortTest, PhonesThatHaveMovedCanComeBackAfterAnAbort) {
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  ArriveByReport(2, 1);
  EXPECT_EQ(At(GoOn()), "running at arrived");
  ASSERT_OK(Abort());
  const StoredPlan plan = GoOn();
  EXPECT_EQ(At(plan), "aborted");
  EXPECT_THAT(plan.state_reason, AllOf(HasSubstr("step 3 stays as it is: 1 phone holds a list of the cluster berlin"),
                                       HasSubstr("trustctl trust remove --cluster berlin")));
  EXPECT_NE(Trusted(there_), before_there_);
  EXPECT_EQ(Trusted(1), before_);
}

TEST_F(MigrationAbortTest, AnAbortOfBlankListsNamesWhoIsLeft) {
  v1::MakePlanRequest request = Migrate("berlin");
  request.set_blank(true);
  ASSERT_OK(Make(request));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at blank held");
  PhonesFollow();
  ASSERT_EQ(At(GoOn()), "paused at move");
  ArriveThere(1, 1);
  ASSERT_OK(Abort());
  const StoredPlan plan = GoOn();
  EXPECT_EQ(At(plan), "aborted");
  EXPECT_THAT(plan.state_reason,
              AllOf(HasSubstr("may hold blank lists"), HasSubstr("SEP000000000002, SEP000000000003"),
                    HasSubstr("trustctl phones reset --out-of-step"),
                    HasSubstr("1 phone holds a list of the cluster berlin, and comes back by another such plan"),
                    HasSubstr("phone: SEP000000000001")));
  EXPECT_THAT(States(plan), HasSubstr("move skipped"));
}

}  // namespace
}  // namespace trustline
