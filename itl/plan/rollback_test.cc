// Phones that are given back to the call manager that they come from.
#include "itl/plan/plan_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class RollbackTest : public PlanTest {
 protected:
  absl::StatusOr<StoredPlan> MakeRollback() {
    v1::MakePlanRequest request;
    request.set_kind(v1::PLAN_KIND_ROLLBACK);
    request.set_reason("a test");
    return Make(request);
  }
};

TEST_F(RollbackTest, PhonesHoldTheBlankListsBeforeTheCallManagerIsRolledBack) {
  AddPhones(4, 1, "Bremen");  // never seen
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, MakeRollback());
  EXPECT_EQ(States(made),
            "lscs ahead, blank ready ahead, blank on ahead, blank reset ahead, blank held ahead, roll back ahead, "
            "blank off ahead, "
            "reset ahead, held ahead");
  ASSERT_OK(Run());
  // Of the one that was never seen nobody knows whether it takes the blank list.
  EXPECT_EQ(At(GoOn()), "running at blank ready");
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1: SEP000000000004"));
  EXPECT_THAT(RecordTexts(Current()), Not(Contains(HasSubstr("(blank)"))));
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "running at blank held");
  EXPECT_THAT(RecordTexts(Current()), Contains(HasSubstr("(blank)")));
  EXPECT_THAT(Progress(Plan()), HasSubstr("0 of 4 phones are ready; waits for 4: SEP000000000001"));
  PhonesFollow(1, 2);
  EXPECT_EQ(At(GoOn()), "running at blank held");
  EXPECT_THAT(Progress(Plan()), HasSubstr("2 of 4 phones are ready; waits for 2: SEP000000000003, SEP000000000004"));
  PhonesFollow(3, 1);
  EXPECT_EQ(At(GoOn()), "running at blank held") << "it was accepted for another step";
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1: SEP000000000004"));
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "paused at roll back");
  EXPECT_THAT(Plan().state_reason, HasSubstr("roll the call manager back"));
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at held");
  EXPECT_THAT(RecordTexts(Current()), Not(Contains(HasSubstr("(blank)"))));
  PhonesFollow(1, 2);
  EXPECT_EQ(At(GoOn()), "running at held");
  EXPECT_THAT(Progress(Plan()), HasSubstr("2 of 4 phones are ready; waits for 1: SEP000000000003;"));
  PhonesFollow(1, 4);
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(RollbackTest, PhonesOfAnotherClusterAndWithoutListsAreNotWaitedFor) {
  ASSERT_OK(MakeRollback());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at blank held");
  PhonesFollow(1, 1);
  ReportHolding(2, 1, "not a list of ours", "cucm9");
  RunByHand("UPDATE device SET model = '7960' WHERE name = 'SEP000000000003'");
  RunByHand("INSERT INTO model_without_lists (cluster_id, model, set_by) VALUES (1, '7960', 'test')");
  EXPECT_EQ(At(GoOn()), "paused at roll back");
}

TEST_F(RollbackTest, AnAbortMakesTheListsWholeAtEachStep) {
  for (int done = 0; done < 8; ++done) {
    SCOPED_TRACE(done);
    ASSERT_OK(MakeRollback());
    ASSERT_OK(Run());
    for (int i = 0; i < done; ++i) {
      ASSERT_OK(engine_->Advance(1, Plan().number));
      if (Plan().state == PlanState::kPaused) {
        ASSERT_OK(Resume());
      }
      PhonesFollow();
    }
    ASSERT_OK(Abort());
    const StoredPlan plan = GoOn();
    EXPECT_EQ(At(plan), "aborted");
    EXPECT_THAT(plan.state_reason, testing::StartsWith("all of its changes were taken back"));
    const std::string states = States(plan);
    const bool was_blank =
        states.find("blank on taken back") != std::string::npos && states.find("blank off done") == std::string::npos;
    EXPECT_EQ(plan.state_reason.find("; but 3 phones may hold blank lists") != std::string::npos, was_blank);
    EXPECT_THAT(RecordTexts(Current()), Not(Contains(HasSubstr("(blank)"))));
    PhonesFollow();
  }
}

TEST_F(RollbackTest, AnAbortNamesWhoseLscIsDeleted) {
  ASSERT_OK(MakeRollback());
  const auto deletion = [&](int number, const char* state, const std::string& ended_at) {
    RunByHand(fmt::format(
        "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
        "deadline, scheduled_by, ended_at) VALUES (1, '{}', 'delete', '{}', 'null', 'rsa', 2048, 'secp256r1', now(), "
        "'test', {})",
        Device(number), state, ended_at));
  };
  deletion(1, "pending", "NULL");
  deletion(2, "success", "now()");
  deletion(3, "success", "now() - interval '1 day'");  // before the plan
  ASSERT_OK(Run());
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_THAT(Plan().state_reason,
              AllOf(HasSubstr(Device(1) + " (`trustctl capf schedule none`"),
                    HasSubstr("1 device has no LSC any more: " + Device(2) + " (`trustctl capf schedule install`"),
                    Not(HasSubstr(Device(3)))));
}

TEST_F(RollbackTest, SomebodyWhoTakesBlankBackStopsThePlan) {
  ASSERT_OK(MakeRollback());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at blank held");
  RunByHand("UPDATE trust_list_policy SET blank = false, blank_since = NULL, blank_by = NULL");
  EXPECT_EQ(At(GoOn()), "stopped at blank held");
  EXPECT_THAT(Plan().state_reason, HasSubstr("somebody has made the lists whole"));
}

TEST_F(RollbackTest, ListsThatAreBlankAlreadyAreNotItsOwn) {
  RunByHand("UPDATE trust_list_policy SET blank = true, blank_since = now(), blank_by = 'x'");
  EXPECT_THAT(MakeRollback(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("blank already")));
}

TEST_F(RollbackTest, NoPhoneIsWaitedForBecauseItIsRegistered) {
  ASSERT_OK(Make(Rollover(v1::PLAN_KIND_ROLLBACK)));
  v1::ChangePlanRequest request;
  request.set_change(v1::ChangePlanRequest::CHANGE_RUN);
  request.set_go_without(1);
  EXPECT_THAT(ChangePlan(*engine_, caller(), request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leave out --go-without")));
}

}  // namespace
}  // namespace trustline
