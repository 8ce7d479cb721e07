#include "capf/enrolment_sweeper.h"

#include "capf/desk_testing.h"
#include "capf/operation_progress.h"

namespace trustline {
namespace {

class EnrolmentSweeperTest : public DeskTest {
 protected:
  void SetUp() override {
    DeskTest::SetUp();
    sweeper_ = MakeSweeper("node1");
  }
  std::unique_ptr<EnrolmentSweeper> MakeSweeper(std::string node) {
    return std::make_unique<EnrolmentSweeper>(
        EnrolmentSweeperOptions{.node = std::move(node), .actor = kEnrolmentActor}, *pool_, desk_->settlement(), clock_,
        desk_->log(), desk_->metrics());
  }
  EnrolmentSweep Sweep() {
    const auto sweep = sweeper_->Sweep();
    EXPECT_OK(sweep);
    return sweep.value_or(EnrolmentSweep());
  }
  void AddManyDevices(int devices) {
    RunByHand(
        fmt::format("INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, "
                    "'0')), 'test' FROM generate_series(1, {}) n",
                    devices));
  }
  void InsertPending(int devices) {
    RunByHand(fmt::format(
        "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
        "deadline, scheduled_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), 'install', 'pending', 'null', "
        "'rsa', 2048, 'secp256r1', to_timestamp({}), 'test' FROM generate_series(1, {}) n",
        absl::ToUnixSeconds(clock_.Now()), devices));
  }

  std::unique_ptr<EnrolmentSweeper> sweeper_;
};

TEST_F(EnrolmentSweeperTest, NothingToDo) {
  ScheduleOne(Order());
  EXPECT_EQ(Sweep(), EnrolmentSweep());
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'pending'"), 1);
}

TEST_F(EnrolmentSweeperTest, OverdueOperationsExpireEachWithItsAuditRow) {
  constexpr int kDevices = 2500;  // more than two batches
  InsertPending(kDevices);
  RunByHand("UPDATE capf_operation SET deadline = deadline + interval '1 second' WHERE device = 'SEP000000000001'");
  EXPECT_EQ(Sweep().expired, kDevices - 1);
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_operation WHERE state = 'expired' AND reason = '{}' "
                              "AND ended_at = to_timestamp({})",
                              kExpiredReason, absl::ToUnixSeconds(clock_.Now()))),
            kDevices - 1);
  EXPECT_EQ(
      Count(fmt::format("SELECT count(DISTINCT e.subject) FROM audit_event e JOIN capf_operation o ON e.subject = "
                        "o.device WHERE e.action = 'capf.expire' AND e.actor = '{}' AND e.cluster_id = 1 AND "
                        "e.outcome = 'done' AND e.detail::json->>'operation' = o.operation_id::text",
                        kEnrolmentActor)),
      kDevices - 1);
  EXPECT_EQ(Sweep().expired, 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Sweep().expired, 1);
}

TEST_F(EnrolmentSweeperTest, ASessionWhoseLeaseIsOverGivesItsOperationBack) {
  const OperationClaim claim = AdmittedClaim();
  clock_.Advance(kSessionLease - absl::Seconds(1));
  EXPECT_EQ(Sweep().released, 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Sweep().released, 1);
  EXPECT_EQ(StateOf(claim.operation_id), "pending");
  EXPECT_THAT((*desk_)->Fail(claim, "late"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
}

TEST_F(EnrolmentSweeperTest, OnlyOperationsOfTheNodesEarlierProcessesAreReleased) {
  // This process's own are its sessions'.
  const OperationClaim claim = AdmittedClaim();
  EXPECT_EQ(Sweep().released, 0);
  clock_.Advance(absl::Seconds(1));
  // Another node starts.
  sweeper_ = MakeSweeper("node2");
  EXPECT_EQ(Sweep().released, 0);
  EXPECT_EQ(StateOf(claim.operation_id), "in progress");
  // This one starts again.
  sweeper_ = MakeSweeper("node1");
  EXPECT_EQ(Sweep().released, 1);
  EXPECT_EQ(StateOf(claim.operation_id), "pending");
}

TEST_F(EnrolmentSweeperTest, WhatIsReleasedTooLateExpires) {
  const OperationClaim claim = AdmittedClaim();
  clock_.Advance(absl::Hours(241));
  EXPECT_EQ(Sweep(), (EnrolmentSweep{.released = 1, .expired = 1}));
  EXPECT_EQ(StateOf(claim.operation_id), "expired");
}

TEST_F(EnrolmentSweeperTest, OldWrongStringsAreRemoved) {
  ScheduleString("04711");
  AdmitWith("1");
  AdmitWith("1", kOtherAddress);
  clock_.Advance(absl::Hours(23));
  AdmitWith("1", kOtherAddress);
  EXPECT_EQ(Sweep().locks_forgotten, 0);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Sweep().locks_forgotten, 1);
  EXPECT_EQ(Text("SELECT address FROM capf_lockout"), kOtherAddress);
}

// Its cad is away: it asks ever less often, and gives up nothing.
TEST_F(EnrolmentSweeperTest, WhatCadIsNotToldIsTriedAgainWithLongerPauses) {
  AddCertificate(kEnrolmentPhone);
  const OperationClaim claim = AdmittedClaim(CapfOperation::kDelete);
  ASSERT_OK((*desk_)->Deleted(claim));
  const auto tries = [&] { return Count("SELECT count(*) FROM capf_operation WHERE unsettled = 'revoke'"); };
  EXPECT_EQ(Sweep().settled, 0);
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(Sweep().settled, 0);
  EXPECT_EQ(tries(), 1);
  // Nothing is left to be revoked, so that cad need not be asked; but it is not yet time.
  RunByHand("UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = 5");
  EXPECT_EQ(Sweep().settled, 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Sweep().settled, 1);
  EXPECT_EQ(tries(), 0);
}

TEST_F(EnrolmentSweeperTest, ARequestThatIsOpenKeepsADeletionUnsettledAndStopsNoOther) {
  AddManyDevices(1);
  AddCertificate(kEnrolmentPhone);
  const OperationClaim claim = AdmittedClaim(CapfOperation::kDelete);
  ASSERT_OK((*desk_)->Deleted(claim));
  InsertPending(1);
  RunByHand(
      "UPDATE issuance SET state = 'intent', certificate = NULL, sha256 = NULL; "
      "UPDATE capf_operation SET state = 'success', ended_at = now() - interval '1 hour', unsettled = 'revoke' "
      "WHERE state = 'pending'");
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(Sweep().settled, 1) << "the one after it";
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 1);
  RunByHand("UPDATE issuance SET state = 'abandoned', abandoned_at = now()");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Sweep().settled, 1);
}

// A hundred answers of a slow cad take longer than a lease.
TEST_F(EnrolmentSweeperTest, WhatElseIsDoneDoesNotWaitForAllThatCadIsTold) {
  int done = 0;
  EnrolmentSweeperOptions options = {.node = "node1", .actor = kEnrolmentActor, .also = [&done] {
                                       ++done;
                                       return absl::OkStatus();
                                     }};
  sweeper_ =
      std::make_unique<EnrolmentSweeper>(options, *pool_, desk_->settlement(), clock_, desk_->log(), desk_->metrics());
  InsertPending(3);
  RunByHand("UPDATE capf_operation SET state = 'success', ended_at = now() - interval '1 hour', unsettled = 'revoke'");
  EXPECT_EQ(Sweep().settled, 3);
  EXPECT_EQ(done, 4);
}

TEST_F(EnrolmentSweeperTest, TheThreadSweepsByItself) {
  InsertPending(3);
  sweeper_->Start();
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (Count("SELECT count(*) FROM capf_operation WHERE state = 'expired'") < 3 && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'expired'"), 3);
  sweeper_->Stop();
  sweeper_->Stop();
}

TEST_F(EnrolmentSweeperTest, ADatabaseThatIsAwayEndsNothing) {
  ASSERT_OK(database_->Stop());
  EXPECT_THAT(sweeper_->Sweep(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace trustline
