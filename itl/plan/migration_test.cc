// Phones that move from the cluster "default" to another one, "berlin", of this system or of another.
#include "common/bytes/checksums.h"
#include "itl/move/cluster_trust_store.h"
#include "itl/plan/plan_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

class MigrationTest : public PlanTest {
 protected:
  void SetUp() override {
    PlanTest::SetUp();
    RunByHand("INSERT INTO cluster (name) VALUES ('berlin')");
    there_ = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'berlin'"));
    GrantThere();
    publisher_there_ = std::make_unique<ListPublisher>(
        ListPublisherOptions(), *pool_, *keys_,
        [](const std::string&, const Certificate&, const std::vector<std::string>&) { return absl::OkStatus(); },
        "trustline:default/itld/node1", now_, log_, metrics_);
    AddServerThere("tftpb");
    ASSERT_OK(PublishThere());
    AddDevicesThere(1, 6);
    before_ = Trusted(1);
    before_there_ = Trusted(there_);
  }

  void GrantThere() {
    RunByHand(
        fmt::format("INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES ({}, 'admin', "
                    "'administrator', 'test')",
                    there_));
  }
  TrustStoreCaller CallerThere() const { return {there_, "berlin", kTestActor}; }
  void AddServerThere(const std::string& name) {
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) -> absl::Status {
      const TrustStoreCaller actor = CallerThere();
      ListStore store(connection, there_);
      RETURN_IF_ERROR(store.CreatePolicy(TestListPolicy()).status());
      RETURN_IF_ERROR(store.AddServer(name, name + ".example", kTestActor).status());
      ListSigners signers(connection, actor, *keys_, now_.Now());
      RETURN_IF_ERROR(signers.MakeRecovery(TestListPolicy(), "first").status());
      RETURN_IF_ERROR(signers.MakeCallManager(TestListPolicy(), name, name + ".example", "new").status());
      return store.PutList({.kind = ListKind::kItl, .tftp_server = name, .device = ""}, kTestActor);
    }));
  }
  absl::Status PublishThere() { return publisher_there_->Publish(there_, "berlin", Approved()).status(); }
  ClusterTrust TrustOf(int32_t cluster_id, const std::string& name) {
    const auto trust = RunInTransaction(
        *itld_, {}, [&](Connection& connection) { return ReadClusterTrust(connection, cluster_id, name); });
    EXPECT_OK(trust);
    return trust.ok() ? *trust : ClusterTrust();
  }
  std::string ExportThere() { return EncodeClusterTrust(TrustOf(there_, "berlin")); }
  // The live entries: "sha role".
  std::string Trusted(int32_t cluster_id) {
    return Text(fmt::format("SELECT coalesce(string_agg(encode(sha256, 'hex') || ' ' || role || ' ' || listed, ',' "
                            "ORDER BY sha256, role), '') FROM trust_entry WHERE cluster_id = {} AND removed_at IS NULL",
                            cluster_id)
                    .c_str());
  }

  static v1::MakePlanRequest Migrate(const std::string& to_cluster) {
    v1::MakePlanRequest request;
    request.set_kind(v1::PLAN_KIND_MIGRATE);
    request.set_to_cluster(to_cluster);
    request.set_reason("a test");
    return request;
  }
  static v1::MakePlanRequest MigrateBy(const std::string& file) {
    v1::MakePlanRequest request = Migrate("");
    request.set_export_file(file);
    return request;
  }
  // Phones of a site from which no TVS was ever asked.
  void AddPhonesWithoutTvs(int first, int count) {
    AddPhones(first, count, "Bremen");
    ReportHolding(first, count, CurrentFile());
    now_.Advance(absl::Minutes(1));
  }
  // They say so here: what their list is, and of which server.
  void ArriveByReport(int first, int count) {
    now_.Advance(absl::Minutes(1));
    ReportHolding(first, count, TrustOf(there_, "berlin").servers.front().itl, "tftpb");
    now_.Advance(absl::Minutes(1));
  }
  void AddDevicesThere(int first, int count) {
    RunByHand(fmt::format(
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT {}, 'SEP' || "
        "lpad(upper(to_hex(n)), 12, '0'), '8841', '', 'test' FROM generate_series({}, {}) AS n ON CONFLICT DO NOTHING",
        there_, first, first + count - 1));
  }
  // They say so there, as devices of that cluster.
  void ArriveThere(int first, int count) {
    now_.Advance(absl::Minutes(1));
    const std::string file = TrustOf(there_, "berlin").servers.front().itl;
    StoreReports(there_, first, count, [&](PhoneReport& report) {
      report.itl_server = "tftpb";
      report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(file))};
    });
    now_.Advance(absl::Minutes(1));
  }
  void AddLsc(int number, const std::string& state = "confirmed") {
    RunByHand(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "created_by) SELECT 1, 'retired', 'k', 'RSA 2048', sha256('k'), 'CN=ca', '\\x00', 'test' WHERE NOT EXISTS "
        "(SELECT FROM ca_authority)");
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by) SELECT 1, authority_id, '{0}', '', '{1}', substr(sha256('{0}'), 1, 16), 'CN={0}', 'RSA 2048', "
        "sha256('{0}'), '\\x00', '{2}', '{3}', '', '\\x00', '\\x00', sha256('{0}'), 'test' FROM ca_authority",
        Device(number), state, "2020-01-01",
        absl::FormatTime("%Y-%m-%d", now_.Now() + absl::Hours(24 * 30), absl::UTCTimeZone())));
  }

  void AbortAtEachStep(const std::function<void()>& follow) {
    for (const bool blank : {false, true}) {
      for (int done = 0; done < 8; ++done) {
        SCOPED_TRACE(fmt::format("{} after {} steps", blank ? "blank" : "signers", done));
        v1::MakePlanRequest request = Migrate("berlin");
        request.set_blank(blank);
        ASSERT_OK(Make(request));
        ASSERT_OK(Run());
        for (int i = 0; i < done; ++i) {
          ASSERT_OK(engine_->Advance(1, Plan().number));
          if (Plan().state == PlanState::kPaused) {
            ASSERT_OK(Resume());
          }
          if (blank) follow();
        }
        ASSERT_OK(Abort());
        const StoredPlan plan = GoOn();
        EXPECT_EQ(At(plan), "aborted");
        EXPECT_THAT(plan.state_reason, ::testing::StartsWith("all of its changes were taken back"));
        const bool was_blank = States(plan).find("blank on taken back") != std::string::npos;
        EXPECT_EQ(plan.state_reason.find("; but 3 phones may hold blank lists") != std::string::npos, was_blank);
        EXPECT_EQ(Trusted(1), before_);
        EXPECT_EQ(Trusted(there_), before_there_);
        EXPECT_EQ(Count("SELECT count(*) FROM trust_list_policy WHERE blank"), 0);
        EXPECT_THAT(RecordTexts(Current()), Not(::testing::Contains(HasSubstr("(blank)"))));
        follow();
      }
    }
  }

  int32_t there_ = 0;
  std::unique_ptr<ListPublisher> publisher_there_;
  std::string before_, before_there_;
};

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

TEST_F(MigrationTest, AnAbortTakesEverythingBackAtEachStep) {
  AbortAtEachStep([&] { PhonesFollow(); });
}

TEST_F(MigrationTest, AnAbortTakesEverythingBackAtEachStepInMixedModeToo) {
  AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
  ASSERT_OK(Publish());
  ASSERT_OK(TurnMixedModeOn());
  before_ = Trusted(1);
  const auto ctl = [&] { return FileOf(List({.kind = ListKind::kCtl})); };
  const auto follow = [&] {
    PhonesFollow();
    StoreReports(1, 1, 3, [&](PhoneReport& report) {
      report.itl_server = "node1";
      report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(CurrentFile()))};
      report.ctl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(ctl()))};
    });
    now_.Advance(absl::Minutes(1));
  };
  follow();
  const std::vector<std::string> records = RecordTexts(*DecodeTrustList(AsBytes(ctl())));
  AbortAtEachStep(follow);
  EXPECT_EQ(RecordTexts(*DecodeTrustList(AsBytes(ctl()))), records);
}

TEST_F(MigrationTest, PhonesThatHaveMovedCanComeBackAfterAnAbort) {
  ASSERT_OK(Make(Migrate("berlin")));
  ASSERT_OK(Run());
  EXPECT_EQ(At(GoOn()), "paused at move");
  ASSERT_OK(Resume());
  ArriveByReport(2, 1);
  EXPECT_EQ(At(GoOn()), "running at arrived");
  ASSERT_OK(Abort());
  const StoredPlan plan = GoOn();
  EXPECT_EQ(At(plan), "aborted");
  EXPECT_THAT(plan.state_reason, AllOf(HasSubstr("step 3 stays as it is: 1 phone holds a list of the cluster berlin"),
                                       HasSubstr("trustctl trust remove --cluster berlin")));
  EXPECT_NE(Trusted(there_), before_there_);
  EXPECT_EQ(Trusted(1), before_);
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

TEST_F(MigrationTest, AnAbortOfBlankListsNamesWhoIsLeft) {
  v1::MakePlanRequest request = Migrate("berlin");
  request.set_blank(true);
  ASSERT_OK(Make(request));
  ASSERT_OK(Run());
  ASSERT_EQ(At(GoOn()), "running at blank held");
  PhonesFollow();
  ASSERT_EQ(At(GoOn()), "paused at move");
  ArriveThere(1, 1);
  ASSERT_OK(Abort());
  const StoredPlan plan = GoOn();
  EXPECT_EQ(At(plan), "aborted");
  EXPECT_THAT(plan.state_reason,
              AllOf(HasSubstr("may hold blank lists"), HasSubstr("SEP000000000002, SEP000000000003"),
                    HasSubstr("trustctl phones reset --out-of-step"),
                    HasSubstr("1 phone holds a list of the cluster berlin, and comes back by another such plan"),
                    HasSubstr("phone: SEP000000000001")));
  EXPECT_THAT(States(plan), HasSubstr("move skipped"));
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
