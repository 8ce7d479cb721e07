// The rate of enrolments, by desks on a real database.
#include "capf/desk_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using Verdict = Admission::Verdict;

constexpr char kString[] = "04711";

class AdmitterRateTest : public DeskTest {
 protected:
  // So many more are let through now.
  void LeaveOfRate(int count) {
    int left = 0;
    while (rate_.Admits(clock_.Now())) ++left;
    ASSERT_GE(left, count);
    clock_.Advance(absl::Milliseconds(count) + absl::Microseconds(1));
  }
};

TEST_F(AdmitterRateTest, OverTheRateNothingIsClaimedAndNothingIsLost) {
  const int64_t id = ScheduleString(kString);
  LeaveOfRate(0);
  const Admission over = AdmitWith(kString);
  EXPECT_EQ(over.verdict, Verdict::kOverRate);
  EXPECT_THAT(over.reason, HasSubstr("too many"));
  EXPECT_EQ(over.claim.claim, "");
  EXPECT_EQ(StateOf(id), "pending");
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE session_claim IS NULL AND wrong_strings = 0 AND "
                  "string_used_at IS NULL"),
            1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(AdmitWith(kString).verdict, Verdict::kAdmitted);
}

TEST_F(AdmitterRateTest, OnlyEnrolmentsCount) {
  LeaveOfRate(1);
  EXPECT_EQ(AdmitWith(kString).verdict, Verdict::kNothingScheduled);
  EXPECT_EQ(Admit(Response("SEP0000000000A3")).verdict, Verdict::kUnknownDevice);
  ScheduleString(kString);
  EXPECT_EQ(AdmitWith("99999").verdict, Verdict::kRefused);
  EXPECT_EQ(AdmitWith("").verdict, Verdict::kRefused);
  EXPECT_EQ(AdmitWith(kString).verdict, Verdict::kAdmitted);
  // Over the rate each of them gets the answer that it gets otherwise.
  EXPECT_EQ(AdmitWith("99999", kOtherAddress).verdict, Verdict::kRefused);
  EXPECT_EQ(AdmitWith(kString, kOtherAddress).verdict, Verdict::kBusy);
  EXPECT_EQ(Admit(Response(kOtherEnrolmentPhone)).verdict, Verdict::kNothingScheduled);
}

TEST_F(AdmitterRateTest, AllDesksOfAProcessShareIt) {
  RunByHand(
      "INSERT INTO cluster (name) VALUES ('other'); "
      "INSERT INTO device (cluster_id, name, added_by) SELECT cluster_id, 'SEP0000000000A2', 'test' FROM cluster WHERE "
      "name = 'other'");
  const int64_t cluster_id = Count("SELECT cluster_id FROM cluster WHERE name = 'other'");
  ASSERT_OK(RunInTransaction(*pool_, {}, [&](Connection& connection) {
    return OperationStore(connection, static_cast<int32_t>(cluster_id))
        .Schedule(Order(), {{.device = "SEP0000000000A2"}}, clock_.Now());
  }));
  ScheduleOne(Order());
  const std::unique_ptr<TestDesk> other = MakeDesk("node1", "other");
  LeaveOfRate(1);
  EXPECT_EQ(AdmitWith("").verdict, Verdict::kAdmitted);
  ASSERT_OK_AND_ASSIGN(const Admission over, (*other)->Admit(Response("SEP0000000000A2"), kSessionId, kPhoneAddress));
  EXPECT_EQ(over.verdict, Verdict::kOverRate);
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK_AND_ASSIGN(const Admission admitted,
                       (*other)->Admit(Response("SEP0000000000A2"), kSessionId, kPhoneAddress));
  EXPECT_EQ(admitted.verdict, Verdict::kAdmitted);
}

}  // namespace
}  // namespace trustline
