// Statements that are sent together, and plans.
#include "common/postgres/connection.h"
#include "common/postgres/sql_error.h"
#include "common/postgres/transaction.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;

class ConversationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::CreateEmpty());
    ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
    connection_ = std::make_unique<Connection>(std::move(connection));
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(ConversationTest, AStatementGoesWithTheNext) {
  ASSERT_OK(connection_->ExecuteScript("CREATE TABLE t (a bigint)"));
  static constexpr Statement kInsert = {"insert", "INSERT INTO t VALUES ($1)"};
  static constexpr Statement kSum = {"sum", "SELECT coalesce(sum(a), 0)::bigint FROM t"};
  const auto sum = [&]() -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const Result result, connection_->Execute(kSum));
    return result.Value<int64_t>();
  };
  connection_->ExecuteWithNext(kInsert, Parameters().Int64(1));
  connection_->ExecuteWithNext(kInsert, Parameters().Int64(2));
  EXPECT_TRUE(connection_->InTransaction());
  EXPECT_THAT(sum(), IsOkAndHolds(3));
  EXPECT_FALSE(connection_->InTransaction());

  // Whatever the next one is.
  connection_->ExecuteWithNext(kInsert, Parameters().Int64(4));
  ASSERT_OK(connection_->ExecuteScript("INSERT INTO t VALUES (8); INSERT INTO t VALUES (16)"));
  connection_->ExecuteWithNext(kInsert, Parameters().Int64(32));
  int64_t rows = 0;
  ASSERT_OK(connection_->ForEachRow({"all", "SELECT a FROM t"}, {}, [&](const Row&) {
    ++rows;
    return absl::OkStatus();
  }));
  EXPECT_EQ(rows, 6);
  connection_->ExecuteWithNext(kInsert, Parameters().Int64(64));
  bool copied = false;
  ASSERT_OK(connection_->CopyIn("t (a)", [&](Parameters& row) -> absl::StatusOr<bool> {
    row.Int64(128);
    return !std::exchange(copied, true);
  }));
  EXPECT_THAT(sum(), IsOkAndHolds(255));

  connection_->ExecuteWithNext(kInsert, Parameters().Int64(1000));
  connection_->ForgetUnsent();
  EXPECT_FALSE(connection_->InTransaction());
  EXPECT_THAT(sum(), IsOkAndHolds(255));
}

TEST_F(ConversationTest, TheErrorOfAStatementThatWasKeptIsTheNextOnes) {
  ASSERT_OK(connection_->ExecuteScript("CREATE TABLE t (a bigint PRIMARY KEY); INSERT INTO t VALUES (1)"));
  static constexpr Statement kInsert = {"insert_kept", "INSERT INTO t VALUES ($1)"};
  static constexpr Statement kNext = {"next", "INSERT INTO t VALUES (100)"};
  const auto next = [&] { return connection_->Execute(kNext).status(); };
  const auto rows = [&] { return connection_->Execute("SELECT count(*) FROM t")->Value<int64_t>(); };
  // One that the server refuses, once it is prepared and before.
  for (int i = 0; i < 2; ++i) {
    connection_->ExecuteWithNext(kInsert, Parameters().Int64(1));
    connection_->ExecuteWithNext(kInsert, Parameters().Int64(2));
    const absl::Status status = next();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("insert_kept")));
    EXPECT_EQ(SqlStateOf(status), "23505");
    EXPECT_THAT(rows(), IsOkAndHolds(1));
  }
  // One that cannot be prepared, and one that cannot be sent.
  const auto stays = [&](absl::StatusCode code) {
    EXPECT_THAT(next(), StatusIs(code));
    EXPECT_THAT(next(), StatusIs(code));
    EXPECT_TRUE(connection_->InTransaction());
    connection_->ForgetUnsent();
  };
  connection_->ExecuteWithNext({"no_table", "INSERT INTO nothing VALUES (1)"});
  stays(absl::StatusCode::kInternal);
  connection_->ExecuteWithNext({"text", "SELECT $1::text"}, Parameters().Text(std::string_view("\0", 1)));
  stays(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(rows(), IsOkAndHolds(1));
  EXPECT_OK(next());
}

TEST_F(ConversationTest, AServerThatDiesBehindAKeptStatementIsUnavailable) {
  ASSERT_OK(connection_->Execute("SELECT 1"));
  connection_->ExecuteWithNext({"kept", "SELECT 1"});
  ASSERT_OK(database_->Kill());
  EXPECT_THAT(connection_->Execute("SELECT 1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(connection_->ok());
}

TEST_F(ConversationTest, PlansAreMadeAnewAsTablesGrow) {
  static constexpr Statement kCount = {"count", "SELECT count(*) FROM t WHERE a = $1 AND b = $2"};
  const auto open = [&](absl::Duration life_of_plans) {
    return Connection::Open(
        {.conninfo = database_->Conninfo(), .application_name = "x", .life_of_plans = life_of_plans});
  };
  const auto count = [](Connection& connection) {
    return connection.Execute(kCount, Parameters().Int64(1).Int64(7)).status();
  };
  const auto plan = [&](Connection& connection) -> absl::StatusOr<std::string> {
    constexpr char kName[] = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT count(*) FROM t%'";
    ASSIGN_OR_RETURN(const Result name, connection.Execute(kName));
    ASSIGN_OR_RETURN(const std::string prepared, name.Value<std::string>());
    std::string lines;
    ASSIGN_OR_RETURN(const Result result,
                     connection.Execute(fmt::format("EXPLAIN EXECUTE {}(1, 7)", prepared).c_str()));
    for (const Row row : result) {
      ASSIGN_OR_RETURN(const std::string line, row.Get<std::string>(0));
      lines += line + "\n";
    }
    return lines;
  };
  ASSERT_OK(connection_->ExecuteScript(
      "CREATE TABLE t (a bigint, b bigint) WITH (autovacuum_enabled = off); CREATE INDEX by_a ON t (a)"));
  ASSERT_OK_AND_ASSIGN(Connection keeps, open(absl::InfiniteDuration()));
  ASSERT_OK_AND_ASSIGN(Connection plans_anew, open(absl::ZeroDuration()));
  // From the sixth time on the plan is the one that is kept.
  for (int i = 0; i < 8; ++i) {
    ASSERT_OK(count(keeps));
    ASSERT_OK(count(plans_anew));
  }
  ASSERT_OK_AND_ASSIGN(const std::string before, plan(keeps));
  ASSERT_OK(connection_->ExecuteScript("INSERT INTO t SELECT 1, b FROM generate_series(1, 20000) AS b"));
  ASSERT_OK(count(keeps));
  ASSERT_OK(count(plans_anew));
  EXPECT_THAT(plan(keeps), IsOkAndHolds(Eq(before))) << "PostgreSQL has looked at the table by itself";
  EXPECT_THAT(plan(plans_anew), IsOkAndHolds(Not(Eq(before))));

  // Not within a transaction, whose plans may be in use.
  ASSERT_OK_AND_ASSIGN(Transaction transaction,
                       Transaction::Begin(plans_anew, {.isolation = Isolation::kSerializable}));
  ASSERT_OK(count(plans_anew));
  ASSERT_OK(count(plans_anew));
  EXPECT_OK(transaction.Commit());
}

}  // namespace
}  // namespace trustline
