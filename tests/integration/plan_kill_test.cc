// itld ended by SIGKILL at every step of a plan: whoever comes next goes on where it was, and does nothing twice.
#include <cctype>

#include "proto/plan.grpc.pb.h"
#include "tests/integration/itld_testing.h"

namespace trustline {
namespace {

constexpr char kWithFailPoints[] = "itld_with_fail_points";
constexpr char kState[] = "SELECT state FROM trust_plan";
constexpr char kDoneSteps[] = "SELECT count(*) FROM trust_plan_step WHERE state IN ('done', 'skipped')";
constexpr int kMostStarts = 60;

// Within the transaction of a step (itl/plan/plan_engine.cc), between the files and the commit of its lists
// (itl/list/list_run.cc, list_publisher.cc), and after each look at a step.
constexpr const char* kPlaces[] = {"plan_applied", "stored", "published", "plan_advanced"};

std::string NameOf(const ::testing::TestParamInfo<const char*>& place) {
  std::string name;
  for (const char c : std::string_view(place.param)) {
    if (isalnum(static_cast<unsigned char>(c)) != 0) name += c;
  }
  return name;
}

class PlanKillTest : public ItldListTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // A plan that runs, and that nobody looks at yet.
  void MakePlan(v1::PlanKind kind) {
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<grpc::Channel> channel, site_->Channel(*reader_process_));
    v1::MakePlanRequest request;
    request.set_cluster("default");
    request.set_kind(kind);
    request.set_reason("a test");
    request.set_without_resets(true);
    v1::MakePlanResponse response;
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    ASSERT_OK(ToAbsl(v1::Plans::NewStub(channel)->MakePlan(&context, request, &response)));
    ASSERT_EQ(response.plan().steps_size(), 9);
    ASSERT_OK(superuser_->Execute("UPDATE trust_plan SET state = 'running'"));
  }
  bool HasEnded() { return Count("SELECT count(*) FROM trust_plan WHERE ended_at IS NULL") == 0; }
  // Until it has died there, or the plan has ended; true when it has died.
  bool RunUntilDeath(const std::string& place) {
    const absl::StatusOr<std::unique_ptr<DaemonProcess>> itld =
        site_->StartItld({.program = kWithFailPoints, .fail_point = place});
    // One that is not ready did not live long enough.
    while (itld.ok() && !HasEnded()) {
      if ((*itld)->WaitForEnd(std::chrono::milliseconds(100)).ok()) break;
    }
    const bool has_died = !itld.ok() || !(*itld)->Running();
    // Its transaction ends with its connection.
    WaitUntil([&] {
      return Count("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'itld lists' AND state <> 'idle'") ==
             0;
    });
    return has_died;
  }
  // Each death at the place is followed by one look that succeeds. The number of deaths at the place.
  int DieOften() {
    int deaths = 0;
    for (int starts = 0; starts < kMostStarts && !HasEnded(); ++starts) {
      if (RunUntilDeath(GetParam())) ++deaths;
      ExpectWhole();
      if (!HasEnded()) RunUntilDeath("plan_advanced");
    }
    return deaths;
  }
};

INSTANTIATE_TEST_SUITE_P(Places, PlanKillTest, ::testing::ValuesIn(kPlaces), NameOf);

TEST_P(PlanKillTest, APlanIsResumedWhereItWas) {
  ASSERT_NO_FATAL_FAILURE(MakeFirstList());
  ASSERT_NO_FATAL_FAILURE(MakePlan(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY));
  EXPECT_GE(DieOften(), 3);
  EXPECT_EQ(Text(kState), "done");
  EXPECT_EQ(Count(kDoneSteps), 9);
  EXPECT_EQ(Count(kGenerations), 4) << "both, the new signer, the new one alone";
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 3) << "one new key";
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.step'"), 9);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.done'"), 1);
  EXPECT_EQ(Count(kCandidates), 0);
}

TEST_P(PlanKillTest, AnAbortIsResumedWhereItWas) {
  ASSERT_NO_FATAL_FAILURE(MakeFirstList());
  const std::string before = Text("SELECT encode(sha256, 'hex') FROM list_signer WHERE tftp_server = ''");
  ASSERT_NO_FATAL_FAILURE(MakePlan(v1::PLAN_KIND_ROLLOVER_ITLRECOVERY));
  // The new key signs.
  for (int starts = 0; starts < kMostStarts && Count(kDoneSteps) < 6; ++starts) RunUntilDeath("plan_advanced");
  ASSERT_EQ(Count(kGenerations), 3);
  ASSERT_OK(superuser_->Execute("UPDATE trust_plan SET aborting = true"));
  DieOften();
  EXPECT_EQ(Text(kState), "aborted");
  EXPECT_EQ(Text("SELECT state_reason FROM trust_plan"), "all of its changes were taken back");
  EXPECT_EQ(Text("SELECT encode(sha256, 'hex') FROM list_signer WHERE tftp_server = '' AND replaced_at IS NULL AND NOT "
                 "overlapping"),
            before);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE overlapping"), 0);
  EXPECT_EQ(Count(kGenerations), 5);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'plan.aborted'"), 1);
}

}  // namespace
}  // namespace trustline
