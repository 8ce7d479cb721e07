// How long a session's claim holds, by desks on a real database.
#include <functional>

#include "capf/desk_testing.h"
#include "capf/enrolment_sweeper.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using Verdict = Admission::Verdict;

class SessionLeaseTest : public DeskTest {
 protected:
  // Until when the phone's operation is claimed, from now; negative: it is not.
  absl::Duration Remaining() {
    const int64_t until = Count(
        "SELECT coalesce(extract(epoch FROM session_until)::bigint, 0) FROM capf_operation ORDER BY operation_id "
        "DESC LIMIT 1");
    return absl::FromUnixSeconds(until) - clock_.Now();
  }
  void LetTimePass(absl::Duration time) {
    clock_.Advance(time);
    ASSERT_OK((*desk_)->RenewLeases(*pool_));
  }
  int64_t Sweep(std::string node) {
    EnrolmentSweeper sweeper({.node = std::move(node), .actor = kEnrolmentActor}, *pool_, desk_->settlement(), clock_,
                             desk_->log(), desk_->metrics());
    const auto sweep = sweeper.Sweep();
    EXPECT_OK(sweep);
    return sweep.ok() ? sweep->released : -1;
  }
  void SetIssuance() {
    AddCertificate(kEnrolmentPhone, "signed");
    RunByHand("UPDATE capf_operation SET issuance_id = (SELECT max(issuance_id) FROM issuance)");
  }
  // Of the row that a claim had: it is claimed again by the same, as if it had not been given back.
  void ClaimByHand(const OperationClaim& claim) {
    RunByHand(
        fmt::format("UPDATE capf_operation SET state = 'in progress', reason = '', ended_at = NULL, "
                    "string_used_at = NULL, session_claim = '\\x{}', session_until = to_timestamp({}) "
                    "WHERE operation_id = {}",
                    ToHex(AsBytes(claim.claim)), absl::ToUnixSeconds(clock_.Now()), claim.operation_id));
  }
};

TEST_F(SessionLeaseTest, ALeaseIsRenewedEachHalfMinuteWhileItsSessionLives) {
  ASSERT_OK((*desk_)->RenewLeases(*pool_)) << "of none";
  AdmittedClaim();
  EXPECT_EQ(Remaining(), absl::Minutes(2));
  LetTimePass(absl::Seconds(29));
  EXPECT_EQ(Remaining(), absl::Seconds(91)) << "it is not time";
  LetTimePass(absl::Seconds(1));
  EXPECT_EQ(Remaining(), absl::Minutes(2));
  for (int i = 0; i < 20; ++i) {
    LetTimePass(absl::Seconds(30));
    ASSERT_EQ(Remaining(), absl::Minutes(2)) << i;
    ASSERT_EQ(Sweep("node2"), 0) << i;
  }
  EXPECT_EQ(AdmitWith("", kOtherAddress).verdict, Verdict::kBusy);
}

TEST_F(SessionLeaseTest, AClockThatWasSetBackDoesNotPutARenewalOff) {
  AdmittedClaim();
  LetTimePass(absl::Minutes(1));
  clock_.Advance(-absl::Hours(1));
  ASSERT_OK((*desk_)->RenewLeases(*pool_));
  EXPECT_EQ(Remaining(), absl::Minutes(2));
}

TEST_F(SessionLeaseTest, AllOfAProcessAreRenewedTogether) {
  AdmittedClaim();
  ASSERT_OK(Schedule(Order(), {{.device = kOtherEnrolmentPhone}}));
  ASSERT_EQ(Admit(Response(kOtherEnrolmentPhone)).verdict, Verdict::kAdmitted);
  LetTimePass(absl::Minutes(1));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_operation WHERE session_until = to_timestamp({})",
                              absl::ToUnixSeconds(clock_.Now() + absl::Minutes(2)))),
            2);
}

TEST_F(SessionLeaseTest, WhatASessionHasEndedIsNotRenewed) {
  AddCertificate(kEnrolmentPhone);
  const CapfCertificate certificate = {CapfCertificateType::kLsc,
                                       std::string(AsText(MakeSelfSigned(LeafForm("first")).certificate.der()))};
  struct End {
    CapfOperation operation;
    std::function<absl::Status(const OperationClaim&)> call;
  };
  const End ends[] = {
      {CapfOperation::kInstall, [&](const OperationClaim& claim) { return (*desk_)->Acknowledge(claim); }},
      {CapfOperation::kInstall, [&](const OperationClaim& claim) { return (*desk_)->Fail(claim, "no"); }},
      {CapfOperation::kInstall, [&](const OperationClaim& claim) { return (*desk_)->Release(claim); }},
      {CapfOperation::kFetch, [&](const OperationClaim& claim) { return (*desk_)->StoreFetched(claim, certificate); }},
      {CapfOperation::kDelete, [&](const OperationClaim& claim) { return (*desk_)->Deleted(claim); }},
  };
  for (size_t i = 0; i < std::size(ends); ++i) {
    const OperationClaim claim = AdmittedClaim(ends[i].operation);
    RunByHand(fmt::format(
        "UPDATE capf_operation SET issuance_id = (SELECT max(issuance_id) FROM issuance) WHERE operation_id = {}",
        claim.operation_id));
    ASSERT_OK(ends[i].call(claim)) << i;
    ClaimByHand(claim);
    LetTimePass(absl::Minutes(1));
    EXPECT_LT(Remaining(), absl::ZeroDuration()) << i;
    RunByHand("DELETE FROM capf_operation");
  }
}

// Then it has no way to say that it does not work on it any more.
TEST_F(SessionLeaseTest, ASessionThatCouldNotBeReleasedIsNotRenewed) {
  const OperationClaim claim = AdmittedClaim();
  RunByHand("ALTER TABLE capf_operation RENAME TO away");
  EXPECT_FALSE((*desk_)->Fail(claim, "no").ok());
  RunByHand("ALTER TABLE away RENAME TO capf_operation");
  LetTimePass(absl::Minutes(1));
  EXPECT_EQ(Remaining(), absl::Minutes(2)) << "the session goes on to its end";
  RunByHand("ALTER TABLE capf_operation RENAME TO away");
  EXPECT_FALSE((*desk_)->Release(claim).ok());
  RunByHand("ALTER TABLE away RENAME TO capf_operation");
  LetTimePass(absl::Minutes(1));
  EXPECT_EQ(Remaining(), absl::Minutes(1));
}

TEST_F(SessionLeaseTest, ASessionThatNeverEndsIsNotRenewedForEver) {
  AdmittedClaim();
  for (int i = 0; i < 31; ++i) LetTimePass(absl::Minutes(1));
  EXPECT_EQ(Remaining(), absl::Minutes(1)) << "the last was a minute ago";
  LetTimePass(absl::Minutes(1));
  EXPECT_EQ(Sweep("node2"), 1);
}

TEST_F(SessionLeaseTest, AfterAnErrorItIsRenewedAtOnce) {
  AdmittedClaim();
  LetTimePass(absl::Seconds(30));
  RunByHand("ALTER TABLE capf_operation RENAME TO away");
  clock_.Advance(absl::Seconds(30));
  EXPECT_FALSE((*desk_)->RenewLeases(*pool_).ok());
  RunByHand("ALTER TABLE away RENAME TO capf_operation");
  LetTimePass(absl::Seconds(1));
  EXPECT_EQ(Remaining(), absl::Minutes(2));
}

// A node dies, or is cut off, in the middle of a session, and the phone comes from another address to another node.
TEST_F(SessionLeaseTest, WithoutRenewalTheOperationIsAnybodysAfterTwoMinutes) {
  const OperationClaim lost = AdmittedClaim();
  SetIssuance();
  const std::unique_ptr<TestDesk> cut_off = std::exchange(desk_, MakeDesk("node2"));
  clock_.Advance(absl::Minutes(2) - absl::Seconds(1));
  EXPECT_EQ(AdmitWith("", kOtherAddress).verdict, Verdict::kBusy);
  clock_.Advance(absl::Seconds(1));
  const Admission second = AdmitWith("", kOtherAddress);
  ASSERT_EQ(second.verdict, Verdict::kAdmitted) << second.reason;
  EXPECT_EQ(second.claim.operation_id, lost.operation_id);

  // The first is back, renews nothing that is another's, and is told at its next step.
  clock_.Advance(absl::Seconds(10));
  ASSERT_OK((*cut_off)->RenewLeases(*pool_));
  EXPECT_EQ(Remaining(), absl::Seconds(110));
  EXPECT_THAT((*cut_off)->Acknowledge(lost), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(StateOf(lost.operation_id), "in progress");
  EXPECT_OK((*desk_)->Acknowledge(second.claim));
}

TEST_F(SessionLeaseTest, TheSweeperOfAnotherNodeGivesItBack) {
  const OperationClaim lost = AdmittedClaim();
  clock_.Advance(absl::Minutes(2) - absl::Seconds(1));
  EXPECT_EQ(Sweep("node2"), 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Sweep("node2"), 1);
  EXPECT_EQ(StateOf(lost.operation_id), "pending");
  // What was given back is not claimed again by a renewal.
  ASSERT_OK((*desk_)->RenewLeases(*pool_));
  EXPECT_EQ(StateOf(lost.operation_id), "pending");
  EXPECT_LT(Remaining(), absl::ZeroDuration());
}

}  // namespace
}  // namespace trustline
