#include "common/service/audit.h"

#include "common/postgres/transaction.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'795'000'000);

AuditEvent Denial(std::string subject) {
  return {.cluster_id = 1,
          .actor = "trustline:default/person/eve",
          .action = "access.denied",
          .subject = std::move(subject),
          .outcome = AuditOutcome::kDenied,
          .detail = {{"peer", "ipv4:127.0.0.1:1"}}};
}

class AuditTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ScratchDatabase>> database = ScratchDatabase::Create();
    ASSERT_OK(database);
    database_ = *std::move(database);
  }

  AuditQueueOptions Options(size_t capacity = 100) {
    return {
        .connection = database_->Conninfo("trustline_tvsd"), .application_name = "audit_test", .capacity = capacity};
  }

  std::vector<std::string> Subjects() {
    std::vector<std::string> subjects;
    absl::StatusOr<Connection> connection = database_->Connect();
    EXPECT_OK(connection);
    absl::StatusOr<Result> result = connection->Execute("SELECT subject FROM audit_event ORDER BY event_id");
    EXPECT_OK(result);
    for (Row row : *result) subjects.push_back(row.Get<std::string>(0).value_or("?"));
    return subjects;
  }

  std::unique_ptr<ScratchDatabase> database_;
  FakeClock clock_{kNow};
  Metrics metrics_{"test"};
  Log log_{{.sink = [](std::string_view) {}}};
};

TEST_F(AuditTest, AnEventIsPartOfItsTransaction) {
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_itld"));
  {
    ASSERT_OK_AND_ASSIGN(Transaction lost, Transaction::Begin(connection));
    ASSERT_OK(AppendAudit(connection, Denial("rolled back")));
  }
  ASSERT_OK_AND_ASSIGN(Transaction kept, Transaction::Begin(connection));
  AuditEvent event = Denial("kept\n");
  event.detail.emplace_back("a \"quoted\" key", std::string("\0\xff", 2));
  ASSERT_OK(AppendAudit(connection, event));
  ASSERT_OK(kept.Commit());
  EXPECT_THAT(Subjects(), ElementsAre("kept\xEF\xBF\xBD"));
  ASSERT_OK_AND_ASSIGN(Result result, connection.Execute("SELECT detail, at = occurred_at FROM audit_event"));
  std::string detail;
  bool same_time = false;
  ASSERT_OK(result[0].Scan(detail, same_time));
  EXPECT_EQ(detail, "{\"peer\":\"ipv4:127.0.0.1:1\",\"a \\\"quoted\\\" key\":\"\\u0000\xEF\xBF\xBD\"}");
  EXPECT_TRUE(same_time);
}

TEST_F(AuditTest, QueuedEventsOutliveAnOutageInOrderWithTheirOwnTime) {
  AuditQueue queue(Options(), clock_, log_, metrics_);
  queue.Append(Denial("before"));
  while (queue.waiting() > 0) std::this_thread::yield();
  ASSERT_OK(database_->Kill());
  for (int i = 0; i < 5; ++i) queue.Append(Denial(fmt::format("during {}", i)));
  EXPECT_EQ(queue.waiting(), 5u);
  ASSERT_OK(database_->Restart());
  queue.Stop(absl::Seconds(30));
  EXPECT_EQ(queue.waiting(), 0u);
  EXPECT_THAT(Subjects(), ElementsAre("before", "during 0", "during 1", "during 2", "during 3", "during 4"));
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK_AND_ASSIGN(Result times, connection.Execute("SELECT occurred_at FROM audit_event"));
  for (Row row : times) EXPECT_THAT(row.Get<absl::Time>(0), IsOkAndHolds(kNow));
}

TEST_F(AuditTest, AFullQueueCountsWhatItLoses) {
  ASSERT_OK(database_->Kill());
  AuditQueue queue(Options(3), clock_, log_, metrics_);
  for (int i = 0; i < 5; ++i) queue.Append(Denial(fmt::format("{}", i)));
  EXPECT_EQ(queue.waiting(), 3u);
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_audit_events_lost_total 2\n"));
  queue.Stop(absl::ZeroDuration());
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_audit_events_lost_total 5\n"));
  ASSERT_OK(database_->Restart());
}

TEST_F(AuditTest, RepeatedDenialsBecomeACountAtTheEndOfTheMinute) {
  AuditQueue queue(Options(), clock_, log_, metrics_);
  for (int i = 0; i < 5000; ++i) queue.AppendDenial(Denial("A"), "ipv4:127.0.0.1");
  queue.AppendDenial(Denial("B"), "ipv4:127.0.0.1");
  // The queue holds 100 events: the denials were not among them.
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_audit_events_lost_total 0\n"));
  while (queue.waiting() > 0) std::this_thread::yield();
  EXPECT_THAT(Subjects(), ElementsAre("A", "B"));
  // Nothing else is appended: the queue's own thread sees that the minute is over.
  clock_.Advance(absl::Minutes(1));
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (Subjects().size() < 3 && absl::Now() < limit) std::this_thread::yield();
  EXPECT_THAT(Subjects(), ElementsAre("A", "B", "A"));
  // The end of the queue is the end of the minute too.
  queue.AppendDenial(Denial("C"), "ipv4:127.0.0.1");
  queue.AppendDenial(Denial("C"), "ipv4:127.0.0.1");
  queue.Stop(absl::Seconds(30));
  EXPECT_THAT(Subjects(), ElementsAre("A", "B", "A", "C", "C"));
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK_AND_ASSIGN(Result counts,
                       connection.Execute("SELECT string_agg(detail::json->>'count', ' ' ORDER BY event_id) "
                                          "FROM audit_event"));
  EXPECT_THAT(counts.Value<std::string>(), IsOkAndHolds("4999 1"));
  // What comes after it is not counted in silence.
  queue.AppendDenial(Denial("D"), "ipv4:127.0.0.1");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_audit_events_lost_total 1\n"));
}

TEST_F(AuditTest, TvsdMaySayOfItsListenersOnlyThatSomethingWasDone) {
  ASSERT_OK_AND_ASSIGN(Connection tvsd, database_->Connect("trustline_tvsd"));
  AuditEvent event = Denial("[::]:2445");
  EXPECT_OK(AppendAudit(tvsd, event));
  event.outcome = AuditOutcome::kDone;
  EXPECT_THAT(AppendAudit(tvsd, event), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("its own listeners")));
  event.action = "trust.add";
  EXPECT_THAT(AppendAudit(tvsd, event), StatusIs(absl::StatusCode::kPermissionDenied));
  for (const char* action : {"listener.request", "listener.import", "listener.restore"}) {
    event.action = action;
    EXPECT_OK(AppendAudit(tvsd, event));
  }
  EXPECT_EQ(Subjects().size(), 4u);
}

TEST_F(AuditTest, AnEventThatTheDatabaseRefusesDoesNotHoldUpTheNext) {
  // Refuses one kind of event as a check constraint would.
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK(connection.Execute("ALTER TABLE audit_event ADD CHECK (subject <> 'poison')"));
  AuditQueue queue(Options(), clock_, log_, metrics_);
  queue.Append(Denial("poison"));
  queue.Append(Denial("next"));
  queue.Stop(absl::Seconds(30));
  EXPECT_THAT(Subjects(), ElementsAre("next"));
}

}  // namespace
}  // namespace trustline
