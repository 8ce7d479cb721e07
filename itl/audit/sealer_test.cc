#include "itl/audit/sealer.h"

#include <thread>

#include "common/bytes/bytes.h"
#include "itl/audit/audit_testing.h"
#include "itl/audit/event_reader.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(AuditTest, ACleanChainIsIntact) {
  Append(1203);
  SealAll();
  Record();
  Append(2);
  int64_t progress = 0;
  ASSERT_OK_AND_ASSIGN(const AuditVerification report,
                       VerifyAuditChain(*itld_, seal_file_, authority_.certificate(), [&](int64_t checked) {
                         EXPECT_GE(checked, progress);
                         progress = checked;
                         return absl::OkStatus();
                       }));
  EXPECT_TRUE(report.intact()) << report.findings.front();
  EXPECT_EQ(report.events_checked, 1203);
  EXPECT_EQ(progress, 1203);
  EXPECT_EQ(report.events_not_yet_sealed, 2);
  EXPECT_EQ(report.last.number, 1203);
  EXPECT_EQ(ToHex(report.last.hash), Text("SELECT encode(hash, 'hex') FROM audit_seal WHERE number = 1203"));
  EXPECT_TRUE(Verify().intact());
}

TEST_F(AuditTest, AnEmptyLogIsIntact) {
  const AuditVerification report = Verify();
  EXPECT_TRUE(report.intact());
  EXPECT_EQ(report.last.number, 0);
}

TEST_F(AuditTest, AProgressErrorEndsTheVerification) {
  Append(3);
  SealAll();
  EXPECT_THAT(VerifyAuditChain(*itld_, seal_file_, authority_.certificate(),
                               [](int64_t) { return absl::CancelledError("gone"); }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(Verify().intact());
}

TEST_F(AuditTest, AnAlteredRowIsFound) {
  Append(10);
  SealAll();
  RunByHand("UPDATE audit_event SET subject = 'innocent' WHERE event_id = 4");
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("number 4"), HasSubstr("altered"))));
}

TEST_F(AuditTest, ADeletedRowIsFound) {
  Append(10);
  SealAll();
  RunByHand("DELETE FROM audit_event WHERE event_id = 4");
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("number 4"), HasSubstr("deleted"))));
}

TEST_F(AuditTest, ARowThatIsDeletedWithItsSealIsFound) {
  Append(10);
  SealAll();
  RunByHand("DELETE FROM audit_event WHERE event_id IN (4, 5); DELETE FROM audit_seal WHERE event_id IN (4, 5)");
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("numbers 4 to 5 are missing")));
  RunByHand("UPDATE audit_seal SET number = number - 2 WHERE number > 5");
  EXPECT_FALSE(Verify().intact());
}

TEST_F(AuditTest, ACutTailIsFoundByTheSealFile) {
  Append(10);
  SealAll();
  Record();
  RunByHand("DELETE FROM audit_event WHERE event_id > 7; DELETE FROM audit_seal WHERE event_id > 7");
  EXPECT_THAT(Verify().findings,
              ElementsAre(AllOf(HasSubstr("records number 10"), HasSubstr("ends at 7"), HasSubstr("cut off"))));
}

TEST_F(AuditTest, ARewrittenChainIsFoundByTheSealFile) {
  Append(10);
  SealAll();
  Record();
  // Somebody alters a row and chains everything anew, as only the seal file can tell.
  RunByHand(
      "UPDATE audit_event SET subject = 'innocent' WHERE event_id = 4; DELETE FROM audit_seal; "
      "INSERT INTO audit_unsealed SELECT event_id, at FROM audit_event");
  SealAll();
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("up to number 10"), HasSubstr("rewritten"))));
}

TEST_F(AuditTest, AnEditedSealFileIsFound) {
  Append(10);
  SealAll();
  Record();
  std::string text = ReadFile(seal_file_);
  text[5] = text[5] == '0' ? '1' : '0';
  directory_.WriteFile("audit-seals", text);
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("rewritten")));
  directory_.WriteFile("audit-seals", text + "garbage\n" + text);
  EXPECT_THAT(Verify().findings,
              AllOf(Contains(HasSubstr("line 2")), Contains(HasSubstr("records number 10 after number 10"))));
}

TEST_F(AuditTest, AForgedQueueIsFound) {
  Append(3);
  SealAll();
  Append(3, "later");
  RunByHand("DELETE FROM audit_unsealed WHERE event_id = 5");
  EXPECT_THAT(Verify().findings, ElementsAre(AllOf(HasSubstr("event 5"), HasSubstr("outside of the chain"))));
  RunByHand("DELETE FROM audit_event WHERE event_id = 6");
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("deleted before they were chained")));
  RunByHand("INSERT INTO audit_unsealed SELECT event_id, at FROM audit_event WHERE event_id = 1");
  EXPECT_THAT(Verify().findings, Contains(AllOf(HasSubstr("event 1 "), HasSubstr("queue was forged"))));
  // Forged places do not stop the sealing of real ones.
  SealAll();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_seal"), 4);
}

TEST_F(AuditTest, AnInsertedRowIsFound) {
  Append(3);
  SealAll();
  RunByHand(
      "INSERT INTO audit_event (cluster_id, at, event_id, occurred_at, actor, action, subject, outcome, detail) "
      "OVERRIDING SYSTEM VALUE SELECT 2, at, event_id, occurred_at, actor, action, 'forged', outcome, detail "
      "FROM audit_event WHERE event_id = 2");
  EXPECT_FALSE(Verify().intact());
  RunByHand("DELETE FROM audit_event WHERE cluster_id = 2");
  EXPECT_TRUE(Verify().intact());
  RunByHand(
      "INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail) "
      "VALUES (1, now(), now(), 'a', 'b', 'c', 'done', '{}')");
  EXPECT_THAT(Verify().findings, ElementsAre(HasSubstr("outside of the chain")));
}

TEST_F(AuditTest, FindingsAreBounded) {
  Append(300);
  SealAll();
  RunByHand("UPDATE audit_event SET subject = 'x'");
  const AuditVerification report = Verify();
  EXPECT_THAT(report.findings, SizeIs(101));
  EXPECT_EQ(report.findings.back(), "and 200 more");
}

TEST_F(AuditTest, TheRoleOfItldCannotAlterTheLog) {
  Append(1);
  for (const char* sql :
       {"UPDATE audit_event SET subject = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event",
        ("INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail) "
         "VALUES (1, now(), now(), 'a', 'b', 'c', 'done', '{}')"),
        "UPDATE audit_seal SET hash = hash", "DELETE FROM audit_seal"}) {
    EXPECT_THAT(itld_->Execute(sql), StatusIs(absl::StatusCode::kPermissionDenied)) << sql;
  }
}

TEST_F(AuditTest, TheSealerSealsAndRecords) {
  const auto sealer = MakeSealer(seal_file_);
  EXPECT_THAT(sealer->Ready(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK(sealer->Start());
  Append(5);
  EXPECT_TRUE(Eventually([&] { return AllSealed() && sealer->Ready().ok(); }));
  EXPECT_TRUE(Eventually([&] { return ReadFile(seal_file_).find("5 ") != std::string::npos; }));
  Append(3);
  sealer->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_unsealed"), 0);
  ASSERT_OK_AND_ASSIGN(const SealFile file, SealFile::Open(seal_file_));
  EXPECT_EQ(file.last()->number, 8);
  EXPECT_TRUE(Verify().intact());
}

TEST_F(AuditTest, TheSealerOutlivesTheDatabase) {
  const auto sealer = MakeSealer(seal_file_);
  ASSERT_OK(sealer->Start());
  Append(5);
  EXPECT_TRUE(Eventually([&] { return sealer->Ready().ok() && AllSealed(); }));
  ASSERT_OK(database_->Kill());
  EXPECT_TRUE(Eventually([&] { return !sealer->Ready().ok(); }));
  EXPECT_GT(metrics_.GetCounter("trustline_audit_seal_failures_total", "").value(), 0u);
  ASSERT_OK(database_->Restart());
  ASSERT_OK_AND_ASSIGN(Connection itld, database_->Connect("trustline_itld"));
  *itld_ = std::move(itld);
  Append(5, "after");
  EXPECT_TRUE(Eventually([&] { return sealer->Ready().ok() && AllSealed(); }));
  sealer->Stop();
  const AuditVerification report = Verify();
  EXPECT_TRUE(report.intact());
  EXPECT_EQ(report.events_checked, 10);
}

TEST_F(AuditTest, TwoSealersMakeOneChain) {
  const auto one = MakeSealer(seal_file_);
  const auto two = MakeSealer(directory_.path() / "other-seals");
  ASSERT_OK(one->Start());
  ASSERT_OK(two->Start());
  EXPECT_THAT(MakeSealer(seal_file_)->Start(), StatusIs(absl::StatusCode::kFailedPrecondition));
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([this] {
      ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_itld"));
      for (int n = 0; n < 200; ++n) {
        ASSERT_OK(AppendAudit(connection, {.cluster_id = 1, .actor = "a", .action = "b", .subject = "c"}));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_TRUE(Eventually([&] { return AllSealed(); }));
  one->Stop();
  two->Stop();
  const AuditVerification report = Verify();
  EXPECT_TRUE(report.intact()) << report.findings.front();
  EXPECT_EQ(report.events_checked, 800);
  ASSERT_OK_AND_ASSIGN(const AuditVerification other,
                       VerifyAuditChain(*itld_, directory_.path() / "other-seals", authority_.certificate(),
                                        [](int64_t) { return absl::OkStatus(); }));
  EXPECT_TRUE(other.intact());
}

TEST_F(AuditTest, TheSealerKeepsTheEvidenceOfACutTail) {
  Append(10);
  SealAll();
  Record();
  RunByHand("DELETE FROM audit_event WHERE event_id > 7; DELETE FROM audit_seal WHERE event_id > 7");
  const std::string evidence = ReadFile(seal_file_);
  const auto sealer = MakeSealer(seal_file_);
  ASSERT_OK(sealer->Start());
  EXPECT_TRUE(Eventually([&] { return absl::IsDataLoss(sealer->Ready()); }));
  // Rows are chained all the same, and the chain passes the recorded number; the file stays as it is.
  Append(20, "later");
  EXPECT_TRUE(Eventually([&] { return AllSealed(); }));
  EXPECT_TRUE(Eventually([&] {
    return StatusMessage(sealer->Ready()).find("is not the one that the seal file records") != std::string_view::npos;
  }));
  sealer->Stop();
  EXPECT_EQ(ReadFile(seal_file_), evidence);
  EXPECT_FALSE(Verify().intact());
}

TEST_F(AuditTest, PartitionsAreMadeAndRowsOfAllAreVerified) {
  const auto sealer = MakeSealer(seal_file_);
  ASSERT_OK(sealer->Start());
  EXPECT_TRUE(Eventually([&] { return sealer->Ready().ok(); }));
  EXPECT_GE(Count("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_event'::regclass"), 4);
  sealer->Stop();
}

TEST_F(AuditTest, ListsWithFilters) {
  Append(6);
  ASSERT_OK(AppendAudit(*itld_, {.cluster_id = 0,
                                 .actor = "anonymous",
                                 .action = "access.denied",
                                 .subject = "x",
                                 .outcome = AuditOutcome::kDenied}));
  ASSERT_OK(AppendAudit(*itld_, {.cluster_id = 1,
                                 .occurred_at = kTestNow,
                                 .actor = "trustline:default/person/eve",
                                 .action = "trust.crl.add",
                                 .subject = "y"}));
  SealAll();
  Append(1, "unsealed");
  const auto subjects = [&](AuditFilter filter) {
    std::vector<std::string> result;
    absl::StatusOr<AuditEventReader> reader = AuditEventReader::Create(*itld_, std::move(filter));
    EXPECT_OK(reader);
    while (true) {
      const auto page = reader->Next(*itld_);
      EXPECT_OK(page);
      if (!page.ok() || page->empty()) return result;
      for (const ListedAuditEvent& event : *page) result.push_back(event.row.subject);
    }
  };
  EXPECT_THAT(subjects({.cluster_ids = {1}}), ElementsAre("s0", "s1", "s2", "s3", "s4", "s5", "y", "unsealed0"));
  EXPECT_THAT(subjects({.cluster_ids = {1, 0}, .limit = 3}), ElementsAre("x", "y", "unsealed0"));
  EXPECT_THAT(subjects({.cluster_ids = {1}, .actor = "eve"}), ElementsAre("y"));
  EXPECT_THAT(subjects({.cluster_ids = {1}, .actor = "trustline:default/person/eve"}), ElementsAre("y"));
  EXPECT_THAT(subjects({.cluster_ids = {1}, .actor = "ve"}), IsEmpty());
  EXPECT_THAT(subjects({.cluster_ids = {1}, .action = "trust.remove"}), ElementsAre("s1", "s3", "s5"));
  EXPECT_THAT(subjects({.cluster_ids = {1}, .action = "trust", .limit = 2}), ElementsAre("y", "unsealed0"));
  EXPECT_THAT(subjects({.cluster_ids = {1}, .since = kTestNow, .until = kTestNow}), ElementsAre("y"));
  EXPECT_THAT(subjects({.cluster_ids = {2}}), IsEmpty());
  EXPECT_THAT(subjects({.cluster_ids = {2}, .limit = 5}), IsEmpty());
  EXPECT_THAT(AuditEventReader::Create(*itld_, {.limit = -1}), StatusIs(absl::StatusCode::kInvalidArgument));

  ASSERT_OK_AND_ASSIGN(AuditEventReader reader, AuditEventReader::Create(*itld_, {.cluster_ids = {1, 0}}));
  ASSERT_OK_AND_ASSIGN(const std::vector<ListedAuditEvent> events, reader.Next(*itld_));
  ASSERT_THAT(events, SizeIs(9));
  EXPECT_EQ(events[0].cluster, "default");
  EXPECT_EQ(events[0].seal->number, 1);
  EXPECT_EQ(events[6].cluster, "");
  EXPECT_EQ(events[6].row.outcome, "denied");
  EXPECT_EQ(events[7].row.occurred_at, kTestNow);
  EXPECT_FALSE(events[8].seal.has_value());
}

TEST_F(AuditTest, ListsBeyondOnePage) {
  Append(1100);
  ASSERT_OK_AND_ASSIGN(AuditEventReader reader, AuditEventReader::Create(*itld_, {.cluster_ids = {1}}));
  Append(1, "later");
  std::vector<size_t> sizes;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const std::vector<ListedAuditEvent> page, reader.Next(*itld_));
    if (page.empty()) break;
    sizes.push_back(page.size());
  }
  EXPECT_THAT(sizes, ElementsAre(500, 500, 100));
}

}  // namespace
}  // namespace trustline
