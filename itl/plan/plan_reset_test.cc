// Plans whose steps have phones reset, by a hook that runs.
#include "common/service/config.h"
#include "itl/plan/plan_testing.h"
#include "itl/reset/hook_testing.h"
#include "itl/reset/reset_runner.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PlanResetTest : public PlanTest {
 protected:
  // The hook answers "ok" or "failed" for each phone.
  void UseHook(const std::string& answer) {
    const std::string path = hook_folder_.Write(
        "hook",
        fmt::format("#!/bin/sh\nwhile read -r device rest; do printf '%s\\t{}\\tsaid\\n' $device; done\n", answer));
    const auto file = ConfigFile::Parse(fmt::format("[resets.hooks]\ntest = \"{}\"\n", path), "itld.toml");
    ASSERT_OK(file);
    ASSERT_OK_AND_ASSIGN(hooks_, ResetHooks::Read(*file->root().Table("resets")));
    resets_ = std::make_unique<ResetRunner>(ResetRunnerOptions{.actor = kTestActor}, hooks_, *pool_, *pool_, now_, log_,
                                            metrics_);
    Restart();
  }
  void ResetAll() {
    ASSERT_OK(resets_->AdvanceAll());
    now_.Advance(absl::Minutes(2));
    ASSERT_OK(resets_->AdvanceAll());
  }

  const HookFolder hook_folder_;
  std::unique_ptr<ResetRunner> resets_;
};

TEST_F(PlanResetTest, PhonesAreResetAfterEachPublication) {
  ASSERT_NO_FATAL_FAILURE(UseHook("ok"));
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY)));
  EXPECT_EQ(made.hook, "test");
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at reset");
  EXPECT_THAT(Progress(Plan()), HasSubstr("reset 1: 0 of 3 phones are being reset"));
  EXPECT_EQ(Count("SELECT plan_id FROM phone_reset"), 1);
  Restart();
  EXPECT_EQ(At(GoOn()), "running at reset");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 1) << "it is ordered once";
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(At(GoOn()), "running at reset again");
  EXPECT_THAT(Plan().steps.at(3).progress, HasSubstr("its hook accepted 3 of 3 phones, 0 failed"));
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(PlanResetTest, ThePlansResetPausesAndGoesOnWithIt) {
  ASSERT_NO_FATAL_FAILURE(UseHook("ok"));
  // One of them has left for another cluster.
  AddPhones(4, 1, "Berlin");
  ReportHolding(4, 1, "a list of another cluster", "tftpx");
  ASSERT_OK(Make(Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at reset");
  EXPECT_EQ(Count("SELECT phones FROM phone_reset"), 3) << "who has left is not reset";
  ASSERT_OK(Change(v1::ChangePlanRequest::CHANGE_PAUSE));
  EXPECT_EQ(Text("SELECT state || ': ' || state_reason FROM phone_reset"), "paused: plan 1 is paused");
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(Count("SELECT accepted FROM phone_reset"), 0);
  ASSERT_OK(Resume());
  EXPECT_EQ(Text("SELECT state FROM phone_reset"), "running");
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(At(GoOn()), "running at reset again");
}

TEST_F(PlanResetTest, AResetThatStoppedIsTriedAgainWithThePlan) {
  ASSERT_NO_FATAL_FAILURE(UseHook("failed"));
  ASSERT_OK(Make(Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at reset");
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(At(GoOn()), "stopped at reset");
  EXPECT_THAT(Plan().state_reason, HasSubstr("trustctl phones resets show 1 --failed"));
  ASSERT_OK(Resume());
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  EXPECT_EQ(At(GoOn()), "running at reset again") << "without those that failed";
}

TEST_F(PlanResetTest, AResetThatStopsByItselfStopsThePlan) {
  AddPhones(4, 40, "Berlin");
  ReportHolding(4, 40, CurrentFile());
  ASSERT_NO_FATAL_FAILURE(UseHook("failed"));
  v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY);
  request.set_wave(30);
  ASSERT_OK(Make(request));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at reset");
  ASSERT_NO_FATAL_FAILURE(ResetAll());
  ASSERT_EQ(Text("SELECT state FROM phone_reset"), "stopped");
  EXPECT_EQ(At(GoOn()), "stopped at reset");
  EXPECT_THAT(Plan().state_reason,
              AllOf(HasSubstr("step 4 failed: reset 1 has stopped"), HasSubstr("trustctl plan resume 1")));
  // An administrator does without.
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    return ResetOrders(connection, 1).Abort(1, "a test", kTestActor, now_.Now()).status();
  }));
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at reset again");
  EXPECT_THAT(States(Plan()), HasSubstr("reset skipped, wait done"));
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_EQ(Text("SELECT string_agg(state, ' ' ORDER BY reset_id) FROM phone_reset"), "aborted aborted")
      << "waves that have not begun are called off";
}

TEST_F(PlanResetTest, APlanThatWouldResetNobodyIsNotMade) {
  const v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY);
  EXPECT_THAT(
      MakePlan(*engine_, caller(), request),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("itld has no hook"), HasSubstr("itld.local.toml"), HasSubstr("--without-resets"))));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_plan"), 0);
}

TEST_F(PlanResetTest, APlanIsMadeWithoutResets) {
  ASSERT_NO_FATAL_FAILURE(UseHook("ok"));
  v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY);
  request.set_without_resets(true);
  ASSERT_OK(Make(request));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 0);
  EXPECT_THAT(Plan().steps.at(3).progress, HasSubstr("made without resets"));
}

}  // namespace
}  // namespace trustline
