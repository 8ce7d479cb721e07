// How operations end, by the desk on a real database whose cad is away.
#include "capf/database_desk.h"

#include "capf/desk_testing.h"
#include "capf/enrolment_sweeper.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DatabaseDeskTest : public DeskTest {
 protected:
  // As if a certificate had been issued in the session.
  void SetIssuance() {
    AddCertificate(kEnrolmentPhone, "signed");
    RunByHand("UPDATE capf_operation SET issuance_id = (SELECT max(issuance_id) FROM issuance)");
  }
  // The phone has shown its certificate for the string, and its session is not over yet.
  OperationClaim FetchedByString(std::string_view string) {
    AddCertificate(kEnrolmentPhone);
    ScheduleOne(Order(EnrolmentAuthentication::kString, CapfOperation::kFetch), string);
    Admission admission = AdmitWith(string);
    const Certificate certificate = MakeSelfSigned(LeafForm("first")).certificate;
    EXPECT_OK(
        (*desk_)->StoreFetched(admission.claim, {CapfCertificateType::kMic, std::string(AsText(certificate.der()))}));
    return std::move(admission.claim);
  }
  std::string Unsettled() { return Text("SELECT coalesce(unsettled, 'settled') FROM capf_operation"); }
};

TEST_F(DatabaseDeskTest, AnAcknowledgementNeedsNoCad) {
  const int64_t id = ScheduleString("04711");
  Admit(Response(kEnrolmentPhone, "1"), kOtherAddress);
  const Admission admission = AdmitWith("04711");
  SetIssuance();
  ASSERT_OK((*desk_)->Acknowledge(admission.claim));
  EXPECT_EQ(StateOf(id), "success");
  EXPECT_EQ(
      Count(fmt::format("SELECT count(*) FROM capf_operation WHERE string_used_at = to_timestamp({0}) AND ended_at "
                        "= to_timestamp({0})",
                        absl::ToUnixSeconds(clock_.Now()))),
      1);
  EXPECT_EQ(Unsettled(), "confirm");
  EXPECT_EQ(Count("SELECT count(*) FROM capf_lockout"), 0);
  EXPECT_EQ(Audited("capf.install", "done", kPhoneAddress), 1);
  // Said again, it is nobody's operation.
  EXPECT_THAT((*desk_)->Acknowledge(admission.claim), StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK((*desk_)->Release(admission.claim));
  EXPECT_EQ(StateOf(id), "success");
}

TEST_F(DatabaseDeskTest, NothingIsAcknowledgedThatWasNotIssued) {
  const OperationClaim claim = AdmittedClaim();
  EXPECT_THAT((*desk_)->Acknowledge(claim), StatusIs(absl::StatusCode::kInternal, HasSubstr("was not given")));
  EXPECT_EQ(StateOf(claim.operation_id), "in progress");
  EXPECT_EQ(Audited("capf.install", "done"), 0);
}

TEST_F(DatabaseDeskTest, WithoutItsAuditRowNothingIsDone) {
  const OperationClaim claim = AdmittedClaim();
  SetIssuance();
  RunByHand(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; "
      "CREATE TRIGGER refuse BEFORE INSERT ON audit_unsealed FOR EACH ROW EXECUTE FUNCTION refuse()");
  EXPECT_FALSE((*desk_)->Acknowledge(claim).ok());
  EXPECT_FALSE((*desk_)->Fail(claim, "no").ok());
  EXPECT_EQ(StateOf(claim.operation_id), "in progress");
  RunByHand("DROP TRIGGER refuse ON audit_unsealed");
  EXPECT_OK((*desk_)->Acknowledge(claim));
}

TEST_F(DatabaseDeskTest, AFailureStandsInThePhonesOwnWords) {
  const OperationClaim claim = AdmittedClaim();
  const std::string words = std::string("no memory\n\xff\x00 for a key", 22) + std::string(1000, '!');
  ASSERT_OK((*desk_)->Fail(claim, words));
  EXPECT_EQ(StateOf(claim.operation_id), "failed");
  EXPECT_THAT(ReasonOf(claim.operation_id),
              AllOf(HasSubstr("no memory"), HasSubstr("for a key"), Not(HasSubstr("\n"))));
  EXPECT_LT(ReasonOf(claim.operation_id).size(), 400U);
  EXPECT_EQ(Audited("capf.install", "failed", "no memory"), 1);
  EXPECT_THAT((*desk_)->Fail(claim, "again"), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(DatabaseDeskTest, AReleasedOperationIsPendingAgainUntilItsDeadline) {
  const OperationClaim claim = AdmittedClaim();
  ASSERT_OK((*desk_)->Release(claim));
  EXPECT_EQ(StateOf(claim.operation_id), "pending");
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
  const Admission second = AdmitWith("");
  ASSERT_EQ(second.verdict, Admission::Verdict::kAdmitted);
  ASSERT_OK((*desk_)->Release(claim)) << "of a session that lost it";
  EXPECT_EQ(StateOf(claim.operation_id), "in progress");

  clock_.Advance(absl::Hours(240));
  ASSERT_OK((*desk_)->Release(second.claim));
  EXPECT_EQ(StateOf(claim.operation_id), "expired");
  EXPECT_EQ(Audited("capf.expire", "done"), 1);
}

TEST_F(DatabaseDeskTest, WhatIsFetchedIsKeptByItsOwnType) {
  AddCertificate(kEnrolmentPhone);
  const auto fetch = [&](CapfCertificateType type, const Certificate& certificate) {
    const OperationClaim claim = AdmittedClaim(CapfOperation::kFetch);
    ASSERT_OK((*desk_)->StoreFetched(claim, {type, std::string(AsText(certificate.der()))}));
    EXPECT_EQ(StateOf(claim.operation_id), "success");
    EXPECT_EQ(Audited("capf.fetch", "done", fmt::format("\"operation\":\"{}\"", claim.operation_id)), 1);
    EXPECT_GE(Audited("capf.fetch", "done", ToHex(certificate.sha256())), 1);
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM capf_fetched_certificate WHERE device = '{}' AND type = '{}' AND "
                                "der = '\\x{}' AND sha256 = '\\x{}' AND operation_id = {}",
                                kEnrolmentPhone, type == CapfCertificateType::kMic ? "MIC" : "LSC",
                                ToHex(certificate.der()), ToHex(certificate.sha256()), claim.operation_id)),
              1);
  };
  const Certificate first = MakeSelfSigned(LeafForm("first")).certificate;
  const Certificate second = MakeSelfSigned(LeafForm("second")).certificate;
  fetch(CapfCertificateType::kLsc, first);
  fetch(CapfCertificateType::kMic, first);
  fetch(CapfCertificateType::kLsc, second);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_fetched_certificate"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE unsettled IS NOT NULL"), 0);
}

TEST_F(DatabaseDeskTest, AFetchUsesItsStringUp) {
  const OperationClaim claim = FetchedByString("04711");
  (*desk_)->Told(claim);
  EXPECT_EQ(AdmitWith("04711").verdict, Admission::Verdict::kRefused);
}

TEST_F(DatabaseDeskTest, AUsedStringIsBelievedOnceItsSessionHasBroken) {
  const OperationClaim claim = FetchedByString("04711");
  EXPECT_EQ(AdmitWith("04711").verdict, Admission::Verdict::kBusy);
  EXPECT_EQ(AdmitWith("04712").verdict, Admission::Verdict::kRefused);
  (*desk_)->LeftUntold(claim);
  EXPECT_EQ(AdmitWith("04711").verdict, Admission::Verdict::kNothingScheduled);
  EXPECT_EQ(AdmitWith("04711").verdict, Admission::Verdict::kRefused);
}

TEST_F(DatabaseDeskTest, WhatIsNoCertificateIsNotKept) {
  AddCertificate(kEnrolmentPhone);
  const std::string der(AsText(MakeSelfSigned(LeafForm("first")).certificate.der()));
  for (const std::string& bytes : {std::string("not a certificate"), std::string(), der + "x"}) {
    const OperationClaim claim = AdmittedClaim(CapfOperation::kFetch);
    EXPECT_THAT((*desk_)->StoreFetched(claim, {CapfCertificateType::kLsc, bytes}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate")));
    EXPECT_EQ(StateOf(claim.operation_id), "failed");
    EXPECT_THAT(ReasonOf(claim.operation_id), HasSubstr("what it sent is no certificate"));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM capf_fetched_certificate"), 0);
  EXPECT_EQ(Audited("capf.fetch", "failed"), 3);
}

TEST_F(DatabaseDeskTest, ADeletionNeedsNoCad) {
  AddCertificate(kEnrolmentPhone, "revoked");
  AddCertificate(kEnrolmentPhone);
  const OperationClaim claim = AdmittedClaim(CapfOperation::kDelete);
  ASSERT_OK((*desk_)->Deleted(claim));
  EXPECT_EQ(StateOf(claim.operation_id), "success");
  EXPECT_EQ(Audited("capf.delete", "done"), 1);
  EXPECT_EQ(Unsettled(), "revoke");
  EXPECT_EQ(Count("SELECT issuance_id FROM capf_operation"), Count("SELECT max(issuance_id) FROM issuance"));
}

// What a process leaves that dies at any moment of a session, its next one finds.
TEST_F(DatabaseDeskTest, AfterACrashThePhoneCanComeAgain) {
  const int64_t id = ScheduleString("04711");
  const Admission lost = AdmitWith("04711");
  ASSERT_EQ(lost.verdict, Admission::Verdict::kAdmitted);
  desk_.reset();

  clock_.Advance(absl::Seconds(1));
  desk_ = MakeDesk();
  EXPECT_EQ(AdmitWith("04711").verdict, Admission::Verdict::kBusy);
  EnrolmentSweeper sweeper({.node = "node1", .actor = kEnrolmentActor}, *pool_, desk_->settlement(), clock_,
                           desk_->log(), desk_->metrics());
  ASSERT_OK_AND_ASSIGN(const EnrolmentSweep sweep, sweeper.Sweep());
  EXPECT_EQ(sweep.released, 1);
  const Admission admission = AdmitWith("04711");
  ASSERT_EQ(admission.verdict, Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.claim.operation_id, id);
  EXPECT_THAT((*desk_)->Fail(lost.claim, "late"), StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace trustline
