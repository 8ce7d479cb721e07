// Plans that are aborted, interrupted, or run by several at once, at each of their steps.
#include <thread>

#include "itl/plan/plan_runner.h"
#include "itl/plan/plan_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kSteps = 9;

class PlanAbortTest : public PlanTest {
 protected:
  void MakeAndRun(v1::PlanKind kind = v1::PLAN_KIND_ROLLOVER_ITLRECOVERY) {
    ASSERT_OK(Make(Rollover(kind)));
    ASSERT_OK(Run());
  }
  void AdvanceTimes(int times) {
    for (int i = 0; i < times; ++i) ASSERT_OK(engine_->Advance(1, Plan().number));
  }
  std::string Present() {
    std::string text;
    for (const StoredSigner& signer : Signers()) text += ToHex(signer.certificate.sha256()) + " ";
    return text;
  }
};

TEST_F(PlanAbortTest, AnAbortTakesEverythingBackAtEachStep) {
  const std::string before = Present();
  const std::string records = testing::PrintToString(RecordTexts(Current()));
  const int64_t trusted = Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL");
  // The last step ends the plan.
  for (const v1::PlanKind kind : {v1::PLAN_KIND_ROLLOVER_ITLRECOVERY, v1::PLAN_KIND_ROLLOVER_CALLMANAGER}) {
    for (int done = 0; done < kSteps; ++done) {
      SCOPED_TRACE(fmt::format("kind {}, {} steps", static_cast<int>(kind), done));
      ASSERT_NO_FATAL_FAILURE(MakeAndRun(kind));
      ASSERT_NO_FATAL_FAILURE(AdvanceTimes(done));
      // Some have taken what was published meanwhile.
      PhonesFollow(1, 2);
      ASSERT_OK(Abort());
      const StoredPlan plan = GoOn();
      EXPECT_EQ(At(plan), "aborted");
      EXPECT_EQ(Present(), before);
      EXPECT_EQ(testing::PrintToString(RecordTexts(Current())), records);
      EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE overlapping"), 0);
      // A key that has signed lists stays trusted: phones may hold them.
      const bool has_signed = kind == v1::PLAN_KIND_ROLLOVER_ITLRECOVERY && done > 5;
      if (!has_signed) {
        EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL"), trusted);
      } else {
        RunByHand(fmt::format("UPDATE trust_entry SET removed_at = now(), removed_by = 'test' WHERE sha256 = '\\x{}'",
                              ToHex(Certificate::FromDer(AsBytes(plan.new_certificate))->sha256())));
      }
      EXPECT_EQ(plan.state_reason, "all of its changes were taken back");
      PhonesFollow();
    }
  }
}

TEST_F(PlanAbortTest, WhatThePreFlightRefusesStaysAndIsSaid) {
  ASSERT_NO_FATAL_FAILURE(MakeAndRun());
  const Certificate old = Recovery();
  ASSERT_NO_FATAL_FAILURE(AdvanceTimes(6));
  ASSERT_NE(Recovery(), old);
  // A phone that came from a box took the first list that it saw, which an override has made of the new key alone.
  const std::string both = CurrentFile();
  RunByHand("UPDATE list_signer SET overlapping = false WHERE overlapping");
  ASSERT_OK(Publish(Approved()));
  PhonesFollow(1, 2);
  AddPhones(9, 1, "Bremen");
  ReportHolding(9, 1, CurrentFile());
  now_.Advance(absl::Minutes(1));
  RunByHand(fmt::format("UPDATE list_signer SET overlapping = true WHERE sha256 = '\\x{}'", ToHex(old.sha256())));
  ASSERT_OK(Publish(Approved()));
  now_.Advance(absl::Minutes(1));
  ASSERT_OK(Abort());
  const StoredPlan plan = GoOn();
  EXPECT_EQ(At(plan), "aborted");
  EXPECT_THAT(plan.state_reason, AllOf(HasSubstr("step 6 stays as it is: "), HasSubstr("waits for 1: SEP000000000009"),
                                       HasSubstr("step 3 stays as it is: the new certificate is in use"),
                                       HasSubstr("step 1 stays as it is: the new certificate stands in the lists")));
  EXPECT_NE(Recovery(), old);
  EXPECT_THAT(Sasts(), SizeIs(2)) << "every phone knows both";

  // The next plan takes the old one out of the lists, with its own gate.
  ASSERT_NO_FATAL_FAILURE(MakeAndRun());
  EXPECT_NE(Plan().old_sha256, old.sha256());
  ASSERT_NO_FATAL_FAILURE(AdvanceTimes(3));
  EXPECT_THAT(Sasts(), SizeIs(2));
  EXPECT_EQ(
      Count(fmt::format("SELECT count(*) FROM list_signer WHERE overlapping AND sha256 = '\\x{}'", ToHex(old.sha256()))
                .c_str()),
      0);
}

TEST_F(PlanAbortTest, AnAbortWaitsForNodesAndGoesOnAfterARestart) {
  ASSERT_NO_FATAL_FAILURE(MakeAndRun());
  const Certificate old = Recovery();
  ASSERT_NO_FATAL_FAILURE(AdvanceTimes(6));
  ASSERT_NE(Recovery(), old);
  SetVouching(absl::FailedPreconditionError("node2: away"));
  ASSERT_OK(Abort());
  EXPECT_THAT(engine_->Advance(1, 1), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("node2: away")));
  EXPECT_THAT(Plan().steps.at(5).progress, HasSubstr("not taken back yet"));
  EXPECT_THAT(Resume(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being aborted")));
  Restart();
  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_EQ(Recovery(), old);
}

TEST_F(PlanAbortTest, APlanGoesOnAfterARestartAtEachStep) {
  ASSERT_NO_FATAL_FAILURE(MakeAndRun());
  AddPhones(4, 1, "Bremen");
  ReportHolding(4, 1, CurrentFile());
  for (int look = 0; look < 40 && !Plan().ended_at; ++look) {
    ASSERT_OK(engine_->Advance(1, 1));
    Restart();
    if (look % 4 == 3) PhonesFollow(1, 4);
  }
  EXPECT_EQ(At(Plan()), "done");
  EXPECT_EQ(Generations(), 4);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 3) << "one new key";
}

TEST_F(PlanAbortTest, SeveralThatRunAPlanDoEachStepOnce) {
  ASSERT_OK(Make(Rollover(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY)));
  const PlanRunnerOptions options = {.interval = absl::Milliseconds(5), .patience = absl::ZeroDuration()};
  PlanRunner first(options, *engine_, log_, metrics_), second(options, *engine_, log_, metrics_);
  first.Start();
  second.Start();
  ASSERT_OK(Run());
  first.Wake();
  EXPECT_TRUE(Becomes([&] { return Plan().ended_at.has_value(); }));
  first.Stop();
  second.Stop();
  EXPECT_EQ(At(Plan()), "done");
  EXPECT_EQ(Generations(), 4);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.step' AND detail LIKE '%done%'"), 7);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.done'"), 1);
}

TEST_F(PlanAbortTest, ARunnerLooksAgainAtAPlanThatWaits) {
  AddPhones(4, 1, "Bremen");
  ReportHolding(4, 1, CurrentFile());
  now_.Advance(absl::Minutes(1));
  PlanRunner runner({.interval = absl::Milliseconds(5), .patience = absl::Seconds(15)}, *engine_, log_, metrics_);
  runner.Start();
  ASSERT_NO_FATAL_FAILURE(MakeAndRun());
  EXPECT_TRUE(Becomes([&] { return At(Plan()) == "running at wait" && !Progress(Plan()).empty(); }));
  PhonesFollow(1, 4);  // time passes
  EXPECT_TRUE(Becomes([&] { return Plan().ended_at.has_value(); }));
}

}  // namespace
}  // namespace trustline
