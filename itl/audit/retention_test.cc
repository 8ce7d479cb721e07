#include "itl/audit/retention.h"

#include "absl/time/civil_time.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "itl/audit/audit_testing.h"
#include "itl/audit/checkpoint.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

// Months are counted back from the current one, by the database's clock.
class AuditRetentionTest : public AuditTest {
 protected:
  static absl::Time Month(int ago) {
    return absl::FromCivil(absl::ToCivilMonth(absl::Now(), absl::UTCTimeZone()) - ago, absl::UTCTimeZone());
  }
  static std::string Sql(absl::Time time) { return fmt::format("'{}'", TimeText(time)); }

  // Rows as audit_append would have made them at that time.
  void AppendAt(absl::Time at, int count) {
    RunByHand(fmt::format(
        "WITH added AS (INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail) "
        "SELECT 1, t.at, t.at, 'a', 'b', 'c', 'done', '{{}}' FROM (SELECT {}::timestamptz + n * interval '1 second' "
        "AS at FROM generate_series(1, {}) AS n) AS t RETURNING event_id, at) "
        "INSERT INTO audit_unsealed SELECT event_id, at FROM added",
        Sql(at), count));
  }
  void AddPartition(int ago) {
    RunByHand(fmt::format("CREATE TABLE audit_event_test_{} PARTITION OF audit_event FOR VALUES FROM ({}) TO ({})", ago,
                          Sql(Month(ago)), Sql(Month(ago - 1))));
  }
  // 5 rows in each of the months 5 to 2 ago, 3 in this one; the months 5 and 3 ago have partitions.
  void FillMonths() {
    AddPartition(5);
    AddPartition(3);
    for (int ago = 5; ago >= 2; --ago) AppendAt(Month(ago), 5);
    Append(3);
    SealAll();
    Record();
  }
  absl::StatusOr<AuditCheckpoint> Retire(absl::Time before) {
    return RetireAuditRows(*itld_, seal_file_, authority_, {.before = before, .cluster_id = 1, .actor = kTestActor},
                           [](int64_t) { return absl::OkStatus(); });
  }
  int64_t Rows() { return Count("SELECT count(*) FROM audit_event"); }
};

TEST_F(AuditRetentionTest, WholeMonthsGoAndACheckpointStaysInTheChain) {
  FillMonths();
  // The middle of a month: that month stays.
  ASSERT_OK_AND_ASSIGN(const AuditCheckpoint checkpoint, Retire(Month(3) + absl::Hours(24 * 10)));
  EXPECT_EQ(checkpoint.retired_before, Month(3));
  EXPECT_EQ(checkpoint.seal.number, 10);
  EXPECT_EQ(checkpoint.first_number, 1);
  EXPECT_EQ(checkpoint.removed_rows, 10);
  EXPECT_EQ(Rows(), 23 - 10 + 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_seal WHERE number <= 10"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM pg_class WHERE relname = 'audit_event_test_5'"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM pg_class WHERE relname = 'audit_event_test_3'"), 1);
  EXPECT_EQ(Text("SELECT actor || ' ' || outcome || ' ' || detail FROM audit_event WHERE action = 'audit.retire'"),
            fmt::format(R"({} done {{"rows":"10","first_number":"1","last_number":"10","last_hash":"{}"}})", kTestActor,
                        ToHex(checkpoint.seal.hash)));
  AuditVerification report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.retired_rows, 10);
  EXPECT_EQ(report.retired_before, Month(3));
  EXPECT_EQ(report.events_checked, 13);

  // The numbers go on, also over a second checkpoint.
  SealAll();
  EXPECT_EQ(Verify().last.number, 24);
  ASSERT_OK_AND_ASSIGN(const AuditCheckpoint second, Retire(Month(1)));
  EXPECT_EQ(second.first_number, 11);
  EXPECT_EQ(second.seal.number, 20);
  SealAll();
  report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.retired_rows, 20);
  EXPECT_EQ(report.last.number, 25);
  EXPECT_THAT(Retire(Month(1)), StatusIs(kRefused, HasSubstr("nothing to retire")));
}

TEST_F(AuditRetentionTest, AnIdleSystemsChainGoesOnFromItsCheckpoint) {
  AppendAt(Month(4), 5);
  SealAll();
  Record();
  ASSERT_OK(Retire(Month(3)));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_seal"), 0);
  ASSERT_OK_AND_ASSIGN(const Seal end, LastSeal(*itld_));
  EXPECT_EQ(end.number, 5);
  // The seal file's last line is of a row that was retired; a sealer agrees all the same.
  const auto sealer = MakeSealer(seal_file_);
  ASSERT_OK(sealer->Start());
  EXPECT_TRUE(Eventually([&] { return sealer->Ready().ok() && AllSealed(); })) << sealer->Ready();
  sealer->Stop();
  EXPECT_EQ(Count("SELECT min(number) FROM audit_seal"), 6);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditRetentionTest, TheCurrentAndThePreviousMonthStay) {
  FillMonths();
  for (const absl::Time before : {absl::Now(), Month(0), Month(1) + absl::Hours(24 * 31), absl::InfiniteFuture()}) {
    EXPECT_THAT(Retire(before), StatusIs(kRefused, HasSubstr("are kept"))) << before;
  }
  EXPECT_THAT(Retire(Month(5)), StatusIs(kRefused, HasSubstr("nothing to retire")));
  EXPECT_THAT(Retire(absl::InfinitePast()), StatusIs(kRefused));
  EXPECT_EQ(Rows(), 23);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_checkpoint"), 0);
}

TEST_F(AuditRetentionTest, UnsealedRowsBlock) {
  FillMonths();
  AppendAt(Month(4), 1);
  EXPECT_THAT(Retire(Month(3)), StatusIs(kRefused, AllOf(HasSubstr("1 audit rows"), HasSubstr("not chained"))));
  EXPECT_EQ(Rows(), 24);
}

TEST_F(AuditRetentionTest, AMonthThatIsChainedAmongTheNextStaysWithIt) {
  AppendAt(Month(5), 5);
  AppendAt(Month(3), 1);  // numbers 6 and 7: committed before the last row of the month before
  AppendAt(Month(4), 1);
  AppendAt(Month(3) + absl::Hours(1), 1);
  SealAll();
  ASSERT_OK_AND_ASSIGN(const AuditCheckpoint checkpoint, Retire(Month(3)));
  EXPECT_EQ(checkpoint.retired_before, Month(4));
  EXPECT_EQ(checkpoint.seal.number, 5);
  SealAll();
  EXPECT_THAT(Verify().findings, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const AuditCheckpoint second, Retire(Month(2)));
  EXPECT_EQ(second.removed_rows, 3);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditRetentionTest, WhatWasTamperedWithIsNotSweptAway) {
  FillMonths();
  RunByHand("UPDATE audit_event SET subject = 'innocent' WHERE event_id = 4");
  EXPECT_THAT(Retire(Month(3)), StatusIs(kRefused, AllOf(HasSubstr("number 4"), HasSubstr("altered"))));
  RunByHand("UPDATE audit_event SET subject = 'c' WHERE event_id = 4");
  // A row that nobody chained.
  RunByHand(
      fmt::format("INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail) "
                  "VALUES (1, {0}, {0}, 'a', 'b', 'c', 'done', '{{}}')",
                  Sql(Month(4))));
  EXPECT_THAT(Retire(Month(3)), StatusIs(kRefused, HasSubstr("outside of the chain")));
  EXPECT_EQ(Rows(), 24);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_checkpoint"), 0);
}

TEST_F(AuditRetentionTest, ARewrittenBeginningIsNotRetired) {
  AppendAt(Month(4), 5);
  SealAll();
  Record();
  RunByHand(
      "UPDATE audit_event SET subject = 'innocent' WHERE event_id = 4; DELETE FROM audit_seal; "
      "INSERT INTO audit_unsealed SELECT event_id, at FROM audit_event");
  SealAll();
  EXPECT_THAT(Retire(Month(3)), StatusIs(kRefused, HasSubstr("rewritten")));
}

TEST_F(AuditRetentionTest, AnErrorOfTheProgressRetiresNothing) {
  FillMonths();
  EXPECT_THAT(RetireAuditRows(*itld_, seal_file_, authority_, {.before = Month(3), .cluster_id = 1, .actor = "a"},
                              [](int64_t) { return absl::CancelledError("gone"); }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(Rows(), 23);
}

TEST_F(AuditRetentionTest, WhoReadsTheLogHoldsUpTheRemovalOnly) {
  FillMonths();
  ASSERT_OK(superuser_->Execute("BEGIN"));
  EXPECT_EQ(Rows(), 23);
  EXPECT_THAT(Retire(Month(3)), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("try again")));
  ASSERT_OK(superuser_->Execute("COMMIT"));
  EXPECT_EQ(Rows(), 23);
  EXPECT_OK(Retire(Month(3)));
}

TEST_F(AuditRetentionTest, EveryFieldOfACheckpointIsSigned) {
  FillMonths();
  ASSERT_OK(Retire(Month(3)));
  SealAll();
  EXPECT_THAT(Verify().findings, IsEmpty());
  for (const char* change :
       {"number = number + 1", "hash = sha256(hash)", "first_number = 2", "retired_before = at",
        "at = at + interval '1 microsecond'", "removed_rows = 11", "made_by = 'trustline:default/person/eve'",
        "signature = sha256(signature)", "signature = ''", "signer = '\\x3000'"}) {
    RunByHand(fmt::format("CREATE TABLE kept AS TABLE audit_checkpoint; UPDATE audit_checkpoint SET {}", change));
    EXPECT_THAT(Verify().findings, Contains(AllOf(HasSubstr("checkpoint"), HasSubstr("number 1")))) << change;
    EXPECT_EQ(Verify().retired_rows, 0) << change;
    RunByHand("TRUNCATE audit_checkpoint; INSERT INTO audit_checkpoint TABLE kept; DROP TABLE kept");
  }
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(AuditRetentionTest, AMissingCheckpointIsFound) {
  FillMonths();
  ASSERT_OK(Retire(Month(4)));
  SealAll();
  ASSERT_OK(Retire(Month(3)));
  SealAll();
  RunByHand("CREATE TABLE kept AS TABLE audit_checkpoint; DELETE FROM audit_checkpoint WHERE number = 5");
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("from 6 on"), HasSubstr("ends at 0"))));
  RunByHand(
      "INSERT INTO audit_checkpoint SELECT * FROM kept WHERE number = 5; "
      "DELETE FROM audit_checkpoint WHERE number = 10");
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("numbers 6 to 10 are missing")));
  RunByHand("DELETE FROM audit_checkpoint");
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("numbers 1 to 10 are missing")));
}

TEST_F(AuditRetentionTest, AnotherAuthoritysCheckpointDoesNotCoverACut) {
  FillMonths();
  const std::string evidence = ReadFile(seal_file_);
  // Somebody with the database, but not with the key, removes everything and signs for it.
  const IdentityAuthority other = *IdentityAuthority::Create(absl::Now());
  ASSERT_OK_AND_ASSIGN(const Seal end, LastSeal(*itld_));
  AuditCheckpoint forged{.seal = end,
                         .first_number = 1,
                         .retired_before = Month(1),
                         .at = absl::Now(),
                         .removed_rows = end.number,
                         .made_by = kTestActor};
  ASSERT_OK(SignCheckpoint(other, forged));
  ASSERT_OK(InsertCheckpoint(*itld_, forged));
  RunByHand("DELETE FROM audit_event; DELETE FROM audit_seal");
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("another signer")));
  EXPECT_THAT(CheckSeal(*itld_, end, authority_.certificate()), StatusIs(absl::StatusCode::kDataLoss));
  // Naming the right signer does not help.
  forged.signer = AsText(authority_.certificate().der());
  EXPECT_THAT(CheckCheckpoint(forged, authority_.certificate()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("did not sign")));
}

TEST_F(AuditRetentionTest, ACheckpointOfAnotherChainIsFoundByTheSealFile) {
  AppendAt(Month(4), 5);
  SealAll();
  ASSERT_OK(Retire(Month(3)));
  SealAll();
  directory_.WriteFile("audit-seals", fmt::format("3 {0} x\n5 {0} x\n", std::string(64, 'a')));
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("number 5"), HasSubstr("seal file"))));
}

TEST_F(AuditRetentionTest, TheRoleOfItldCanRemoveNothingElse) {
  FillMonths();
  const auto retire = [&](absl::Time cut) {
    return itld_->Execute("SELECT audit_retire($1)", Parameters().Time(cut)).status();
  };
  EXPECT_THAT(retire(Month(3)), StatusIs(kRefused, HasSubstr("no checkpoint")));
  EXPECT_THAT(retire(Month(0)), StatusIs(kRefused, HasSubstr("previous month")));
  EXPECT_THAT(retire(Month(3) + absl::Hours(1)), StatusIs(kRefused, HasSubstr("whole months")));
  EXPECT_THAT(retire(absl::InfiniteFuture()), StatusIs(kRefused));
  EXPECT_THAT(itld_->Execute("SELECT audit_retire(NULL)"), StatusIs(kRefused));
  EXPECT_THAT(itld_->Execute("DELETE FROM audit_checkpoint"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(itld_->Execute("UPDATE audit_checkpoint SET number = 1"), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(Connection tvsd, database_->Connect("trustline_tvsd"));
  EXPECT_THAT(tvsd.Execute("SELECT audit_retire(now())"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(Rows(), 23);
}

}  // namespace
}  // namespace trustline
