// The rollover of certificates whose keys others hold: TVS, CAPF.
#include "itl/plan/plan_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class ListedRolloverTest : public PlanTest {
 protected:
  v1::MakePlanRequest Tvs(const Certificate& made) {
    v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_TVS);
    request.set_node("tvs1");
    request.set_certificate(std::string(AsText(made.der())));
    return request;
  }
  v1::MakePlanRequest Capf(const Certificate& made) {
    v1::MakePlanRequest request = Rollover(v1::PLAN_KIND_ROLLOVER_CAPF);
    request.set_certificate(std::string(AsText(made.der())));
    return request;
  }
  void Presents(const Certificate& certificate) {
    RunByHand("DELETE FROM tvs_node_certificate");
    RunByHand(fmt::format("INSERT INTO tvs_node_certificate VALUES (1, 'tvs1', '\\x{}', '{}')",
                          ToHex(certificate.sha256()), absl::FormatTime(now_.Now())));
  }
  static std::string Tvs(const std::string& name) { return fmt::format("TVS CN={},O=Example,OU=Phones", name); }

  const Certificate new_tvs_ = MakePhoneFacing("tvs1-new", kTestNow + absl::Hours(24 * 700));
  const Certificate new_capf_ = MakePhoneFacing("capf-new", kTestNow + absl::Hours(24 * 700));
};

TEST_F(ListedRolloverTest, ATvsNodePresentsTheNewOneBeforeTheOldOneGoes) {
  Presents(tvs_);
  SetVouching(absl::FailedPreconditionError("tvs1: it says invalid"));
  ASSERT_OK(Make(Tvs(new_tvs_)));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at nodes");
  EXPECT_EQ(asked_roles_[new_tvs_.sha256()], CertificateRole::kTvs);
  EXPECT_TRUE(IsTrusted(new_tvs_));
  EXPECT_THAT(RecordTexts(Current()), Not(Contains(Tvs("tvs1-new"))));

  SetVouching(absl::OkStatus());
  EXPECT_EQ(At(GoOn()), "running at present");
  EXPECT_THAT(RecordTexts(Current()), AllOf(Contains(Tvs("tvs1")), Contains(Tvs("tvs1-new"))));
  EXPECT_THAT(Progress(Plan()),
              AllOf(HasSubstr("tvs1 presents the old certificate"), HasSubstr("trustctl listener import-cert")));
  EXPECT_EQ(Count("SELECT count(*) FROM tvs_node_certificate"), 1) << "what would be so was asked only";
  EXPECT_TRUE(IsTrusted(tvs_));

  Presents(new_tvs_);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_THAT(RecordTexts(Current()), AllOf(Not(Contains(Tvs("tvs1"))), Contains(Tvs("tvs1-new"))));
  EXPECT_FALSE(IsTrusted(tvs_));
  EXPECT_TRUE(IsTrusted(new_tvs_));
}

TEST_F(ListedRolloverTest, PhonesThatNeedTheTvsMustKnowTheNewCertificateFirst) {
  Presents(tvs_);
  const std::string first = CurrentFile();
  // Their list does not know who signs now.
  ASSERT_OK(ReplaceRecovery());
  ASSERT_OK(Publish(Approved()));
  now_.Advance(absl::Minutes(1));
  ASSERT_OK(Make(Tvs(new_tvs_)));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("0 of 3 phones are ready; waits for 3: SEP000000000001"),
                                      HasSubstr("would be locked out")));
  PhonesFollow(1, 2);
  EXPECT_EQ(At(GoOn()), "running at wait");
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1: SEP000000000003"));
  PhonesFollow();
  EXPECT_EQ(At(GoOn()), "running at present");
  Presents(new_tvs_);
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(ListedRolloverTest, AnAbortLeavesWhatIsPresented) {
  Presents(tvs_);
  ASSERT_OK(Make(Tvs(new_tvs_)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at present");
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_FALSE(IsTrusted(new_tvs_));
  EXPECT_THAT(RecordTexts(Current()), Not(Contains(Tvs("tvs1-new"))));

  ASSERT_OK(Make(Tvs(new_tvs_)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at present");
  RunByHand(fmt::format("INSERT INTO tvs_node_certificate VALUES (1, 'tvs1', '\\x{}', '{}')", ToHex(new_tvs_.sha256()),
                        absl::FormatTime(now_.Now())));
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_THAT(Plan().state_reason, AllOf(HasSubstr("tvs1 presents the new certificate, which stays trusted"),
                                         HasSubstr("by hand: `trustctl trust remove`"), HasSubstr("--unlisted")));
  EXPECT_TRUE(IsTrusted(new_tvs_));
}

TEST_F(ListedRolloverTest, CapfIsGivenTheNewOneByAnAdministrator) {
  const Certificate old = MakePhoneFacing("capf");
  AddListed(old, CertificateRole::kCapf);
  ASSERT_OK(Publish());
  PhonesFollow();
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(Capf(new_capf_)));
  EXPECT_EQ(made.old_sha256, old.sha256());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "paused at present");
  EXPECT_EQ(asked_roles_[new_capf_.sha256()], CertificateRole::kCapf);
  EXPECT_THAT(Plan().state_reason, AllOf(HasSubstr("import-cert --listener PORT"), HasSubstr("trustctl plan resume")));
  EXPECT_TRUE(IsTrusted(old));
  // The administrator says so, and capfd says otherwise.
  const auto presents = [&](const Certificate& certificate, absl::Time said_at) {
    RunByHand(
        fmt::format("INSERT INTO capf_presented VALUES (1, 'node1 [::]:4804%eth0', '\\x{0}', '{1}') ON CONFLICT "
                    "(cluster_id, listener) DO UPDATE SET sha256 = '\\x{0}', said_at = '{1}'",
                    ToHex(certificate.sha256()), absl::FormatTime(said_at)));
  };
  presents(old, now_.Now());
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at retire");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("capfd of node1 presents the old certificate"),
                                      HasSubstr("--listener '[::]:4804%eth0' FILE")));
  EXPECT_TRUE(IsTrusted(old));
  presents(new_capf_, now_.Now());
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_FALSE(IsTrusted(old));
  EXPECT_THAT(RecordTexts(Current()), AllOf(Contains("CAPF CN=capf-new,O=Example,OU=Phones"),
                                            Not(Contains("CAPF CN=capf,O=Example,OU=Phones"))));
}

TEST_F(ListedRolloverTest, APlanThatCannotWorkIsNotMade) {
  const auto invalid = [](const char* why) { return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)); };
  v1::MakePlanRequest request = Tvs(new_tvs_);
  request.set_certificate("");
  EXPECT_THAT(Make(request), invalid("--certificate"));
  request.set_certificate("rubbish");
  EXPECT_THAT(Make(request), invalid("cannot be read"));
  EXPECT_THAT(Make(Tvs(MakePhoneFacing("late", now_.Now() - absl::Hours(1)))), invalid("has expired"));
  request = Tvs(new_tvs_);
  AddNode("tvs2", MakePhoneFacing("tvs2"));
  request.set_node("");
  EXPECT_THAT(Make(request), invalid("(--node): tvs1, tvs2"));
  request.set_node("tvs9");
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tvs9")));
  request = Tvs(new_tvs_);
  request.set_old_certificate_sha256("short");
  EXPECT_THAT(Make(request), invalid("32 bytes"));
  request.set_old_certificate_sha256(std::string(AsText(Recovery().sha256())));
  EXPECT_THAT(Make(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("is not trusted as TVS")));
  request.set_old_certificate_sha256(std::string(AsText(new_tvs_.sha256())));
  EXPECT_THAT(Make(request), invalid("is the old one"));
  EXPECT_THAT(Make(Capf(new_capf_)), invalid("nothing but the new certificate itself"));
}

TEST_F(ListedRolloverTest, TheOnlyNodeNeedsNoName) {
  Presents(tvs_);
  v1::MakePlanRequest request = Tvs(new_tvs_);
  request.set_node("");
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(request));
  EXPECT_EQ(made.subject, "tvs1");
}

TEST_F(ListedRolloverTest, ACapfdThatIsOffPresentsNothing) {
  const Certificate old = MakePhoneFacing("capf");
  AddListed(old, CertificateRole::kCapf);
  ASSERT_OK(Publish());
  PhonesFollow();
  RunByHand(fmt::format("INSERT INTO capf_presented VALUES (1, 'node9 [::]:3804', '\\x{}', '{}')", ToHex(old.sha256()),
                        absl::FormatTime(now_.Now())));
  now_.Advance(absl::Minutes(2));
  ASSERT_OK(Make(Capf(new_capf_)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "paused at present");
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(ListedRolloverTest, WhatWasTrustedBeforeThePlanStaysTrusted) {
  Presents(tvs_);
  AddListed(new_tvs_);
  ASSERT_OK(Publish());
  ASSERT_OK(Make(Tvs(new_tvs_)));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at present");
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_TRUE(IsTrusted(new_tvs_));
  EXPECT_THAT(RecordTexts(Current()), Contains(Tvs("tvs1-new")));
}

}  // namespace
}  // namespace trustline
