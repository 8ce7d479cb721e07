#include "itl/plan/migration_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

TEST_F(MigrationTest, PhonesMoveToAnotherClusterOfThisSystem) {
  // One was there before, and came back.
  ArriveThere(3, 1);
  PhonesFollow();
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(Migrate("berlin")));
  EXPECT_EQ(made.subject, "berlin");
  EXPECT_EQ(
      States(made),
      "ready ahead, vouch ahead, vouch there ahead, nodes ahead, lscs ahead, devices ahead, ready again ahead, move "
      "ahead, arrived ahead, take back ahead");
  // Who would follow is seen before anything is changed.
  ASSERT_OK_AND_ASSIGN(const GateAnswer answer, engine_->Ask(Plan()));
  const v1::PreFlight& asked = answer.report;
  EXPECT_EQ(asked.phones(), 3);
  EXPECT_EQ(CountOf(asked, v1::PHONE_VERDICT_SAFE_BY_TVS), 3);
  EXPECT_EQ(Trusted(1), before_);

  SetVouching(absl::FailedPreconditionError("node2: it says invalid"));
  AddLsc(2);
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at nodes");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("ITLRecovery of berlin as SAST in the cluster default"),
                                      HasSubstr("node2: it says invalid")));
  // Both trust the other's signers, and no list changed.
  const ClusterTrust there = TrustOf(there_, "berlin");
  for (const MovedCertificate& one : there.certificates) {
    EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM trust_entry WHERE cluster_id = 1 AND sha256 = '\\x{}' AND "
                                "removed_at IS NULL",
                                ToHex(one.certificate.sha256()))
                        .c_str()),
              std::ssize(one.roles))
        << one.of;
  }
  EXPECT_NE(Trusted(1), before_);
  EXPECT_NE(Trusted(there_), before_there_);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE listed AND removed_at IS NULL"), 1);
  SetVouching(absl::OkStatus());

  // LSCs go first.
  EXPECT_EQ(At(GoOn()), "running at lscs");
  EXPECT_THAT(Progress(Plan()), AllOf(StartsWith("1 device has an LSC"), HasSubstr(Device(2)),
                                      HasSubstr("trustctl capf schedule delete --from-csv")));
  RunByHand("UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = 5, revoked_by = 'test'");

  // A cluster watches over its own devices alone.
  RunByHand(fmt::format("DELETE FROM device WHERE cluster_id = {} AND name = '{}'", there_, Device(2)));
  EXPECT_EQ(At(GoOn()), "running at devices");
  EXPECT_THAT(Progress(Plan()), AllOf(StartsWith("1 device of this cluster is none of berlin yet"),
                                      HasSubstr(Device(2)), HasSubstr("trustctl --cluster berlin device import")));
  AddDevicesThere(2, 1);

  // An administrator points them there.
  EXPECT_EQ(At(GoOn()), "paused at move");
  EXPECT_THAT(Plan().state_reason, AllOf(HasSubstr("DHCP option 150"), HasSubstr("trustctl plan resume")));
  EXPECT_EQ(asked_roles_.at(there.servers.front().file_signer), CertificateRole::kCcmTftp);
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at arrived");
  EXPECT_THAT(Progress(Plan()), HasSubstr("0 of 3 phones are ready; waits for 3: SEP000000000001"));
  ArriveByReport(1, 1);
  // A list that nobody knows is none of theirs because their servers have a name that one of ours has.
  RunByHand(
      fmt::format("INSERT INTO tftp_server_name (cluster_id, name, tftp_server, added_by) VALUES ({}, 'node1', "
                  "'tftpb', 'test')",
                  there_));
  ReportHolding(2, 1, "some list", "node1");
  now_.Advance(absl::Minutes(1));
  EXPECT_EQ(At(GoOn()), "running at arrived");
  EXPECT_THAT(Progress(Plan()),
              AllOf(HasSubstr("1 of 3 phones are ready; waits for 2: SEP000000000002, SEP000000000003"),
                    HasSubstr("hold a list of the cluster berlin")));
  ArriveThere(2, 2);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Trusted(1), before_);
  EXPECT_EQ(Trusted(there_), before_there_);
  EXPECT_EQ(Generations(), 2) << "one of each cluster";
  EXPECT_EQ(Count("SELECT count(DISTINCT cluster_id) FROM audit_event WHERE action = 'trust.add'"), 2);
}

TEST_F(MigrationTest, PhonesThatWouldNotFollowStandInTheWayByName) {
  AddPhonesWithoutTvs(4, 2);
  AddPhones(6, 1, "Bremen");  // never seen
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at ready");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("3 of 6 phones are ready (0 by their lists, 3 through a TVS); waits "
                                                "for 3: SEP000000000004, SEP000000000005, "
                                                "SEP000000000006"),
                                      HasSubstr("1 unproven: nobody whose word counts"),
                                      HasSubstr("2 unproven: its lists do not know the signer")));
  EXPECT_EQ(Trusted(1), before_);
  EXPECT_THAT(Resume(2), StatusIs(kRefused, HasSubstr("3 phones are unproven now, not 2")));
  SiteReaches("Bremen", "tvs1");
  EXPECT_EQ(At(GoOn()), "running at ready");
  EXPECT_THAT(Progress(Plan()),
              HasSubstr("5 of 6 phones are ready (0 by their lists, 5 through a TVS); waits for 1: SEP000000000006;"));
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at arrived");
  ArriveByReport(1, 5);
  // That nobody saw it before was accepted; that it has not moved was not.
  EXPECT_EQ(At(GoOn()), "running at arrived");
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1: SEP000000000006;"));
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(MigrationTest, PhonesWhoseTvsIsGoneAreLocked) {
  AddPhonesWithoutTvs(4, 1);
  // A list without any TVS, and then a TVS that no list names: the only phone with that list.
  SetListed(tvs_, false);
  ASSERT_OK(Publish(Approved()));
  now_.Advance(absl::Minutes(1));
  ReportHolding(1, 4, CurrentFile());
  now_.Advance(absl::Minutes(1));
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at ready");
  EXPECT_THAT(Progress(Plan()), AllOf(HasSubstr("0 of 4 phones"), HasSubstr("would be locked out")));
  EXPECT_THAT(Resume(4), StatusIs(kRefused, HasSubstr("no number accepts those")));
}

TEST_F(MigrationTest, AnExportIsComparedImportedAndTakenBack) {
  const std::string file = ExportThere();
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(MigrateBy(file)));
  EXPECT_EQ(made.subject, fmt::format("berlin (export with the SHA-256 {})", ToHex(Sha256(AsBytes(file)))));
  EXPECT_EQ(
      States(made),
      "ready ahead, compare ahead, vouch ahead, import there ahead, nodes ahead, lscs ahead, ready again ahead, move "
      "ahead, arrived ahead, take back ahead, take back there ahead");
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "paused at compare");
  EXPECT_THAT(Plan().state_reason, HasSubstr("another channel"));
  EXPECT_EQ(Trusted(1), before_) << "nothing is trusted before it is compared";
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "paused at import there");
  EXPECT_NE(Trusted(1), before_);
  EXPECT_EQ(Trusted(there_), before_there_);
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "running at arrived");
  // What is heard there is not known here: only a report counts that comes here.
  ArriveThere(3, 1);
  ArriveByReport(1, 2);
  EXPECT_EQ(At(GoOn()), "running at arrived");
  EXPECT_THAT(Progress(Plan()), HasSubstr("waits for 1: SEP000000000003"));
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "paused at take back there");
  EXPECT_EQ(Trusted(1), before_);
  ASSERT_OK(Resume());
  EXPECT_EQ(At(GoOn()), "done");
}

TEST_F(MigrationTest, WhatWasTrustedBeforeStays) {
  const Certificate signer = TrustOf(there_, "berlin").certificates.front().certificate;
  ImportOptions options;
  options.roles = {CertificateRole::kSast};
  ASSERT_OK(Import({signer}, options));
  const std::string before = Trusted(1);
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  ArriveByReport(1, 3);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_EQ(Trusted(1), before);
}

TEST_F(MigrationTest, ByBlankLists) {
  v1::MakePlanRequest request = Migrate("berlin");
  request.set_blank(true);
  ASSERT_OK_AND_ASSIGN(const StoredPlan made, Make(request));
  EXPECT_EQ(States(made),
            "lscs ahead, devices ahead, blank ready ahead, blank on ahead, blank reset ahead, blank held ahead, move "
            "ahead, arrived ahead, blank off ahead");
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at blank held");
  EXPECT_THAT(RecordTexts(Current()), ::testing::Contains(HasSubstr("(blank)")));
  EXPECT_THAT(Progress(Plan()), HasSubstr("0 of 3 phones are ready; waits for 3: SEP000000000001"));
  EXPECT_EQ(Trusted(1), before_) << "nobody of there is trusted";
  PhonesFollow(1, 2);
  EXPECT_EQ(At(GoOn()), "running at blank held");
  EXPECT_THAT(Progress(Plan()), HasSubstr("2 of 3 phones are ready; waits for 1: SEP000000000003"));
  PhonesFollow(3, 1);
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  ArriveThere(1, 3);
  EXPECT_EQ(At(GoOn()), "done");
  EXPECT_THAT(RecordTexts(Current()), Not(::testing::Contains(HasSubstr("(blank)"))));
  EXPECT_EQ(Text("SELECT string_agg(action, ' ' ORDER BY event_id) FROM audit_event WHERE action LIKE 'itl.blank%'"),
            "itl.blank.on itl.blank.off");
}

TEST_F(MigrationTest, WhatCannotWorkIsNotMade) {
  RunByHand(fmt::format("DELETE FROM access_grant WHERE cluster_id = {}", there_));
  EXPECT_THAT(Make(Migrate("berlin")), StatusIs(kDenied, HasSubstr("no administrator of a cluster berlin")));
  EXPECT_THAT(Make(Migrate("nowhere")), StatusIs(kDenied, HasSubstr("no administrator of a cluster nowhere")));
  RunByHand(
      fmt::format("INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES ({}, 'admin', "
                  "'operator', 'test'), ({}, 'eve', 'administrator', 'test')",
                  there_, there_));
  EXPECT_THAT(Make(Migrate("berlin")), StatusIs(kDenied));
  GrantThere();
  EXPECT_THAT(Make(Migrate("default")), StatusIs(kInvalid, HasSubstr("already")));
  EXPECT_THAT(Make(Migrate("")), StatusIs(kInvalid, HasSubstr("--to-cluster")));
  v1::MakePlanRequest both = Migrate("berlin");
  both.set_export_file("x");
  EXPECT_THAT(Make(both), StatusIs(kInvalid, HasSubstr("--export")));
  EXPECT_THAT(Make(MigrateBy("x")), StatusIs(kInvalid, HasSubstr("the export is broken")));
  EXPECT_THAT(Make(MigrateBy(EncodeClusterTrust(TrustOf(1, "default")))),
              StatusIs(kRefused, HasSubstr("this is the export of this cluster, default, itself")));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_plan"), 0);
}

// A node of this system is listed there, and a phone was never seen: taking back takes no node away from anybody.
TEST_F(MigrationTest, NodesOfTheOtherClusterStayWhatTheyAre) {
  const Certificate tvs_there = MakePhoneFacing("tvsb");
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(
        TrustImport import,
        TrustImport::Begin(connection, CallerThere(), {.roles = {CertificateRole::kTvs}, .listed = true}, now_.Now()));
    const ImportCandidate candidate{std::string(AsText(tvs_there.der())), "tvsb"};
    RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
    return import.Finish().status();
  }));
  RunByHand(fmt::format(
      "INSERT INTO node (name, identity, tvs_sha256, identity_expires_at, approved_at, approved_by) VALUES ('tvsb', "
      "'trustline:default/tvsd/tvsb', '\\x{}', now() + interval '90 days', now(), 'test')",
      ToHex(tvs_there.sha256())));
  ASSERT_OK(PublishThere());
  before_there_ = Trusted(there_);
  AddPhones(9, 1, "Bremen");
  AddDevicesThere(9, 1);
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "running at ready");
  ASSERT_OK(Resume(1));
  EXPECT_EQ(At(GoOn()), "paused at move");
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM trust_entry WHERE cluster_id = 1 AND sha256 = '\\x{}'",
                              ToHex(tvs_there.sha256()))
                      .c_str()),
            0);
  ASSERT_OK(Abort());
  EXPECT_EQ(At(GoOn()), "aborted");
  EXPECT_EQ(Plan().state_reason, "all of its changes were taken back");
  EXPECT_EQ(Trusted(1), before_);
  EXPECT_EQ(Trusted(there_), before_there_);
}

TEST_F(MigrationTest, AnotherSignerThereStopsThePlan) {
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    const TrustStoreCaller actor = CallerThere();
    return ListSigners(connection, actor, *keys_, now_.Now()).MakeRecovery(TestListPolicy(), "another").status();
  }));
  ASSERT_OK(PublishThere());
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "stopped at ready");
  EXPECT_THAT(Plan().state_reason, HasSubstr("signs with another certificate than when the plan was made"));
  EXPECT_EQ(Trusted(1), before_);
}

TEST_F(MigrationTest, AnotherSignerThereStopsItWhilePhonesMoveToo) {
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  ArriveThere(1, 1);
  ASSERT_EQ(At(GoOn()), "running at arrived");
  ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
    const TrustStoreCaller actor = CallerThere();
    return ListSigners(connection, actor, *keys_, now_.Now()).MakeRecovery(TestListPolicy(), "another").status();
  }));
  // Its lists do not follow yet.
  EXPECT_EQ(At(GoOn()), "running at arrived");
  EXPECT_THAT(Progress(Plan()),
              HasSubstr("the cluster berlin: the ITL of tftpb is signed with a key that is no signer"));
  ASSERT_OK(PublishThere());
  EXPECT_EQ(At(GoOn()), "stopped at arrived");
  EXPECT_THAT(Plan().state_reason, HasSubstr("signs with another certificate than when the plan was made"));
}

}  // namespace
}  // namespace trustline
