#include "common/postgres/connection.h"

#include "common/postgres/sql_error.h"
#include "common/postgres/transaction.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConnectionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = ScratchDatabase::CreateEmpty();
    ASSERT_OK(database);
    database_ = *std::move(database);
    auto connection = database_->Connect();
    ASSERT_OK(connection);
    connection_ = std::make_unique<Connection>(*std::move(connection));
  }

  absl::StatusOr<Connection> OpenWithTimeout(absl::Duration timeout, const Interrupt* interrupt = nullptr) {
    return Connection::Open(
        {.conninfo = database_->Conninfo(), .application_name = "x", .query_timeout = timeout, .interrupt = interrupt});
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(ConnectionTest, ValuesGoThereAndBack) {
  const std::string binary("\0\xff'\\", 4);
  const std::vector<std::string> texts = {"a", "", "ü,{}\""};
  const std::vector<std::string> blobs = {binary, ""};
  const std::vector<int64_t> numbers = {-1, INT64_MAX};
  const absl::Time time = absl::FromUnixMicros(1'795'000'000'123'456);
  static constexpr Statement kSelect = {
      "echo",
      "SELECT $1::text, $2::bigint, $3::boolean, $4::bytea, $5::timestamptz, $6::text[], $7::bigint[], $8::bytea[]"};
  ASSERT_OK_AND_ASSIGN(const Result result, connection_->Execute(kSelect, Parameters()
                                                                              .Text("grüße")
                                                                              .Int64(INT64_MIN)
                                                                              .Bool(true)
                                                                              .Bytes(AsBytes(binary))
                                                                              .Time(time)
                                                                              .TextArray(texts)
                                                                              .Int64Array(numbers)
                                                                              .BytesArray(blobs)));
  std::string text, bytes;
  int64_t number = 0;
  bool truth = false;
  absl::Time read_time;
  std::vector<std::string> read_texts, read_blobs;
  std::vector<int64_t> read_numbers;
  ASSERT_EQ(result.rows(), 1);
  ASSERT_OK(result[0].Scan(text, number, truth, bytes, read_time, read_texts, read_numbers, read_blobs));
  EXPECT_EQ(text, "grüße");
  EXPECT_EQ(number, INT64_MIN);
  EXPECT_TRUE(truth);
  EXPECT_EQ(bytes, binary);
  EXPECT_EQ(read_time, time);
  EXPECT_EQ(read_texts, texts);
  EXPECT_EQ(read_blobs, blobs);
  EXPECT_EQ(read_numbers, numbers);
  EXPECT_THAT(result[0].Get<std::vector<int64_t>>(5), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ConnectionTest, TimesBeforeTheEpochAndInfinityGoThereAndBack) {
  for (const absl::Time time : {absl::InfiniteFuture(), absl::InfinitePast(), absl::FromUnixSeconds(-1),
                                absl::FromUnixMicros(946'684'799'999'999)}) {
    ASSERT_OK_AND_ASSIGN(const Result result, connection_->Execute("SELECT $1::timestamptz", Parameters().Time(time)));
    EXPECT_THAT(result.Value<absl::Time>(), IsOkAndHolds(Eq(time)));
  }
  ASSERT_OK_AND_ASSIGN(const Result known, connection_->Execute("SELECT '2026-11-22T10:00:00+02'::timestamptz"));
  EXPECT_THAT(known.Value<absl::Time>(),
              IsOkAndHolds(Eq(absl::FromCivil(absl::CivilSecond(2026, 11, 22, 8, 0, 0), absl::UTCTimeZone()))));
}

TEST_F(ConnectionTest, EmptyArraysAndOtherTypes) {
  ASSERT_OK_AND_ASSIGN(const Result arrays, connection_->Execute("SELECT $1::text[]", Parameters().TextArray({})));
  EXPECT_THAT(arrays.Value<std::vector<std::string>>(), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const Result result,
                       connection_->Execute("SELECT 7::smallint, -7::int, 0.5::float8, '{\"a\": 1}'::jsonb, "
                                            "'\\x0102'::bytea, ARRAY[1, 2]::int[]"));
  EXPECT_THAT(result[0].Get<int16_t>(0), IsOkAndHolds(Eq(7)));
  EXPECT_THAT(result[0].Get<int64_t>(1), IsOkAndHolds(Eq(-7)));
  EXPECT_THAT(result[0].Get<double>(2), IsOkAndHolds(Eq(0.5)));
  EXPECT_THAT(result[0].Get<std::string>(3), IsOkAndHolds(Eq("{\"a\": 1}")));
  EXPECT_THAT((result[0].Get<std::array<uint8_t, 2>>(4)), IsOkAndHolds(ElementsAre(1, 2)));
  EXPECT_THAT((result[0].Get<std::array<uint8_t, 3>>(4)), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result[0].Get<std::vector<int64_t>>(5), IsOkAndHolds(ElementsAre(1, 2)));
}

TEST_F(ConnectionTest, NullsNeedAnOptional) {
  ASSERT_OK_AND_ASSIGN(
      const Result result,
      connection_->Execute(
          "SELECT $1::text, $2::bigint, $3::bytea, $4::timestamptz, $5::boolean, 3::bigint",
          Parameters().Text(std::nullopt).Int64(std::nullopt).Bytes(std::nullopt).Time(std::nullopt).Null()));
  const Row row = result[0];
  EXPECT_THAT(row.Get<std::optional<std::string>>(0), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(row.Get<std::optional<int64_t>>(1), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(row.Get<std::optional<int64_t>>(5), IsOkAndHolds(Eq(3)));
  EXPECT_THAT(row.Get<std::string>(0), StatusIs(absl::StatusCode::kInternal, HasSubstr("NULL")));
  EXPECT_THAT(row.Get<int64_t>(1), StatusIs(absl::StatusCode::kInternal, HasSubstr("column \"int8\"")));
}

TEST_F(ConnectionTest, WrongAccessIsAnErrorThatNamesTheColumn) {
  ASSERT_OK_AND_ASSIGN(const Result result, connection_->Execute("SELECT 1::numeric AS price, 5000000000 AS large"));
  int64_t number = 0;
  EXPECT_THAT(result[0].Get<std::string>(0),
              StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("price"), HasSubstr("cast it"))));
  EXPECT_THAT(result[0].Get<int32_t>(1), StatusIs(absl::StatusCode::kInternal, HasSubstr("large")));
  EXPECT_THAT(result[0].Get<int64_t>(2), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result[0].Get<int64_t>(-1), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result[1].Get<int64_t>(1), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(result[0].Scan(number), StatusIs(absl::StatusCode::kInternal, HasSubstr("2 columns")));
  ASSERT_OK_AND_ASSIGN(const Result none, connection_->Execute("SELECT 1 WHERE false"));
  EXPECT_THAT(none.Value<int64_t>(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConnectionTest, OneStatementTakesParametersOfOtherTypes) {
  ASSERT_OK(connection_->ExecuteScript("CREATE TABLE t (small int, note text)"));
  static constexpr Statement kInsert = {"insert", "INSERT INTO t VALUES ($1, $2)"};
  ASSERT_OK(connection_->Execute(kInsert, Parameters().Null().Text("a")));
  ASSERT_OK(connection_->Execute(kInsert, Parameters().Int64(5).Null()));
  ASSERT_OK(connection_->Execute(kInsert, Parameters().Text("6").Text("b")));
  ASSERT_OK_AND_ASSIGN(const Result updated, connection_->Execute("UPDATE t SET note = 'c'"));
  EXPECT_EQ(updated.affected(), 3);
  ASSERT_OK_AND_ASSIGN(const Result prepared, connection_->Execute("SELECT count(*) FROM pg_prepared_statements"));
  EXPECT_THAT(prepared.Value<int64_t>(), IsOkAndHolds(Eq(2)));
}

TEST_F(ConnectionTest, ErrorsCarryCodeStateConstraintAndNoStatementText) {
  ASSERT_OK(connection_->ExecuteScript("CREATE TABLE t (a int CONSTRAINT only_once UNIQUE, b int CHECK (b > 0))"));
  static constexpr Statement kInsert = {"add row", "INSERT INTO t (a) VALUES ($1)"};
  ASSERT_OK(connection_->Execute(kInsert, Parameters().Int64(1)));
  const absl::Status twice = connection_->Execute(kInsert, Parameters().Int64(1)).status();
  EXPECT_THAT(twice, StatusIs(absl::StatusCode::kAlreadyExists,
                              AllOf(HasSubstr("add row: "), HasSubstr("Key (a)=(1) already exists"))));
  EXPECT_EQ(SqlStateOf(twice), "23505");
  EXPECT_EQ(ConstraintOf(twice), "only_once");
  EXPECT_EQ(SqlStateOf(Annotate(twice, "context")), "23505");

  EXPECT_THAT(connection_->ExecuteScript("INSERT INTO t (b) VALUES (0)"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(connection_->ExecuteScript("DO $$ BEGIN RAISE 'not so' USING HINT = 'do this'; END $$"),
              StatusIs(absl::StatusCode::kFailedPrecondition, Eq("not so Hint: do this")));
  EXPECT_THAT(connection_->ExecuteScript("ALTER ROLE postgres PASWORD 'hunter2'"),
              StatusIs(absl::StatusCode::kInternal, Not(HasSubstr("hunter2"))));
  EXPECT_THAT(connection_->Execute("SELECT $1::text", Parameters().Text("\xff")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(connection_->Execute("SELECT $1::text", Parameters().Text(std::string_view("\0", 1))),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(connection_->ok());
  EXPECT_OK(connection_->Execute("SELECT 1"));
}

TEST_F(ConnectionTest, AFullDiskIsNamed) {
  // As PostgreSQL raises it when a table cannot grow.
  EXPECT_THAT(
      connection_->Execute("DO $$ BEGIN RAISE EXCEPTION 'could not extend file \"base/1/2\"' USING ERRCODE = "
                           "'53100', HINT = 'Check free disk space.'; END $$"),
      StatusIs(absl::StatusCode::kResourceExhausted,
               Eq("the database's disk is full: could not extend file \"base/1/2\" Hint: Check free disk space.")));
}

TEST_F(ConnectionTest, PrivilegesAndReadOnly) {
  ASSERT_OK(connection_->ExecuteScript(
      "CREATE TABLE t (a int); DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special LOGIN"));
  ASSERT_OK_AND_ASSIGN(Connection other, database_->Connect("nobody_special"));
  EXPECT_THAT(other.Execute("SELECT * FROM t"), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(const Transaction read, Transaction::Begin(*connection_, {.read_only = true}));
  EXPECT_THAT(connection_->Execute("INSERT INTO t VALUES (1)"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(connection_->ok());
}

TEST_F(ConnectionTest, CannotConnect) {
  EXPECT_THAT(Connection::Open({.conninfo = "host=/nonexistent dbname=x password=hunter2"}),
              StatusIs(absl::StatusCode::kUnavailable, Not(HasSubstr("hunter2"))));
  EXPECT_THAT(Connection::Open({.conninfo = database_->Conninfo() + " dbname=no_such_database"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no_such_database")));
  EXPECT_THAT(database_->Connect("no_such_role"), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ConnectionTest, TriesEachHostAndTheWantedKindOfServer) {
  const std::string socket = database_->Conninfo().substr(5, database_->Conninfo().find(' ') - 5);
  const std::string rest = fmt::format(" dbname={} user=postgres", database_->name());
  const std::string hosts = fmt::format("host=/nonexistent,{} port=5432", socket);
  EXPECT_OK(Connection::Open({.conninfo = hosts + rest + " target_session_attrs=read-write"}));
  EXPECT_OK(Connection::Open({.conninfo = hosts + rest + " target_session_attrs=prefer-standby"}));
  EXPECT_THAT(Connection::Open({.conninfo = hosts + rest + " target_session_attrs=standby"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("none of the PostgreSQL hosts")));
}

TEST_F(ConnectionTest, LeavesAServerThatBecameReadOnly) {
  ASSERT_OK_AND_ASSIGN(Connection writer,
                       Connection::Open({.conninfo = database_->Conninfo() + " target_session_attrs=read-write"}));
  ASSERT_OK(writer.ExecuteScript("SET default_transaction_read_only = on"));
  EXPECT_THAT(writer.ExecuteScript("CREATE TABLE t (a int)"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(writer.ok());
}

TEST_F(ConnectionTest, ScriptIsOneTransaction) {
  EXPECT_FALSE(connection_->ExecuteScript("CREATE TABLE t (a int); SELECT 1/0; CREATE TABLE u (a int)").ok());
  ASSERT_OK_AND_ASSIGN(const Result result, connection_->Execute("SELECT to_regclass('t') IS NULL"));
  EXPECT_THAT(result.Value<bool>(), IsOkAndHolds(true));
}

TEST_F(ConnectionTest, RowsArriveOneByOne) {
  static constexpr Statement kSeries = {"series", "SELECT i FROM generate_series(1, $1) AS i"};
  int64_t sum = 0;
  EXPECT_OK(connection_->ForEachRow(kSeries, Parameters().Int64(10'000), [&](const Row& row) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t i, row.Get<int64_t>(0));
    sum += i;
    return absl::OkStatus();
  }));
  EXPECT_EQ(sum, 50'005'000);

  int seen = 0;
  EXPECT_THAT(connection_->ForEachRow(kSeries, Parameters().Int64(10'000),
                                      [&](const Row&) { return ++seen == 3 ? NotFound("enough") : absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kNotFound, Eq("enough")));
  EXPECT_EQ(seen, 3);
  static constexpr Statement kFails = {"fails late", "SELECT 1 / (5 - i) FROM generate_series(1, 10) AS i"};
  seen = 0;
  EXPECT_THAT(connection_->ForEachRow(kFails, {}, [&](const Row&) { return ++seen, absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fails late")));
  EXPECT_EQ(seen, 4);
  EXPECT_OK(connection_->Execute("SELECT 1"));
}

TEST_F(ConnectionTest, CopiesManyRowsInOrNone) {
  ASSERT_OK(
      connection_->ExecuteScript("CREATE TABLE t (a bigint PRIMARY KEY, b text, c bytea, d timestamptz, e boolean)"));
  constexpr int64_t kRows = 20'000;
  const std::string blob(100, '\xfe');
  int64_t next = 0;
  const auto source = [&](Parameters& row) -> absl::StatusOr<bool> {
    if (next == kRows) return false;
    row.Int64(next).Text("name").Bytes(AsBytes(blob)).Time(absl::FromUnixSeconds(next)).Bool(std::nullopt);
    ++next;
    return true;
  };
  EXPECT_THAT(connection_->CopyIn("t (a, b, c, d, e)", source), IsOkAndHolds(Eq(kRows)));
  ASSERT_OK_AND_ASSIGN(const Result result,
                       connection_->Execute("SELECT count(*), sum(a)::bigint, count(e) FROM t WHERE length(c) = 100 "
                                            "AND extract(epoch FROM d) = a AND b = 'name'"));
  int64_t count = 0, sum = 0, not_null = 0;
  ASSERT_OK(result[0].Scan(count, sum, not_null));
  EXPECT_EQ(count, kRows);
  EXPECT_EQ(sum, kRows * (kRows - 1) / 2);
  EXPECT_EQ(not_null, 0);

  next = 0;
  EXPECT_THAT(connection_->CopyIn("t (a, b, c, d, e)", source), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(connection_->CopyIn("no_such_table (a)", source), StatusIs(absl::StatusCode::kInternal));
  next = kRows;
  EXPECT_THAT(connection_->CopyIn("t (a)", source), IsOkAndHolds(Eq(0)));
  int64_t made = kRows;
  EXPECT_THAT(connection_->CopyIn("t (a)",
                                  [&](Parameters& row) -> absl::StatusOr<bool> {
                                    if (made == kRows + 10) return NotFound("the file ended early");
                                    row.Int64(made++);
                                    return true;
                                  }),
              StatusIs(absl::StatusCode::kNotFound, Eq("the file ended early")));
  ASSERT_OK_AND_ASSIGN(const Result after, connection_->Execute("SELECT count(*) FROM t"));
  EXPECT_THAT(after.Value<int64_t>(), IsOkAndHolds(Eq(kRows)));
}

TEST_F(ConnectionTest, ServerCancelsASlowStatementAndTheConnectionStays) {
  ASSERT_OK_AND_ASSIGN(Connection connection, OpenWithTimeout(absl::Milliseconds(50)));
  EXPECT_THAT(connection.Execute("SELECT pg_sleep(60)"), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(connection.ok());
  EXPECT_OK(connection.SetQueryTimeout(absl::InfiniteDuration()));
  EXPECT_OK(connection.Execute("SELECT pg_sleep(0.2)"));
}

TEST_F(ConnectionTest, PausedServerMeetsTheDeadlineAndBreaksTheConnection) {
  ASSERT_OK_AND_ASSIGN(Connection connection, OpenWithTimeout(absl::Milliseconds(100)));
  ASSERT_OK(database_->Pause());
  const absl::Time start = absl::Now();
  EXPECT_THAT(connection.Execute("SELECT 1"), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_FALSE(connection.ok());
  EXPECT_THAT(connection.Execute("SELECT 1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Connection::Open({.conninfo = database_->Conninfo(), .connect_timeout = absl::Milliseconds(100)}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no answer within 100ms")));
  ASSERT_OK(database_->Resume());
  EXPECT_OK(OpenWithTimeout(absl::Seconds(30)));
}

TEST_F(ConnectionTest, PausedServerStopsALargeCopyAtTheDeadline) {
  ASSERT_OK(connection_->ExecuteScript("CREATE TABLE t (a bytea)"));
  ASSERT_OK_AND_ASSIGN(Connection connection, OpenWithTimeout(absl::Milliseconds(300)));
  const std::string blob(1 << 20, 'x');
  bool paused = false;
  EXPECT_THAT(connection.CopyIn("t (a)",
                                [&](Parameters& row) -> absl::StatusOr<bool> {
                                  if (!std::exchange(paused, true)) RETURN_IF_ERROR(database_->Pause());
                                  row.Bytes(AsBytes(blob));
                                  return true;
                                }),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(connection.ok());
  ASSERT_OK(database_->Resume());
}

TEST_F(ConnectionTest, KilledServerIsUnavailable) {
  ASSERT_OK(database_->Kill());
  EXPECT_THAT(connection_->Execute("SELECT 1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(connection_->ok());
}

TEST_F(ConnectionTest, TerminatedBackendIsUnavailable) {
  ASSERT_OK_AND_ASSIGN(Connection victim, database_->Connect());
  ASSERT_OK(
      connection_->Execute("SELECT pg_terminate_backend($1::int, 10000)", Parameters().Int64(victim.backend_pid())));
  EXPECT_THAT(victim.Execute("SELECT 1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(victim.ok());
  ASSERT_OK_AND_ASSIGN(Connection idle, database_->Connect());
  EXPECT_TRUE(idle.CheckAlive());
  ASSERT_OK(
      connection_->Execute("SELECT pg_terminate_backend($1::int, 10000)", Parameters().Int64(idle.backend_pid())));
  EXPECT_FALSE(idle.CheckAlive());
}

TEST_F(ConnectionTest, NotificationsWakeTheListener) {
  ASSERT_OK_AND_ASSIGN(Connection listener, database_->Connect());
  ASSERT_OK(listener.Listen("trust \"store\""));
  EXPECT_THAT(listener.WaitForNotification(absl::Milliseconds(1)), IsOkAndHolds(Eq(std::nullopt)));
  std::thread notifier([&] {
    EXPECT_OK(connection_->Execute("SELECT pg_notify('trust \"store\"', '41'), pg_notify('trust \"store\"', '42')"));
  });
  for (const char* payload : {"41", "42"}) {
    ASSERT_OK_AND_ASSIGN(const std::optional<Notification> notification,
                         listener.WaitForNotification(absl::InfiniteDuration()));
    ASSERT_TRUE(notification.has_value());
    EXPECT_EQ(notification->payload, payload);
    EXPECT_EQ(notification->channel, "trust \"store\"");
  }
  notifier.join();
  ASSERT_OK(database_->Kill());
  EXPECT_THAT(listener.WaitForNotification(absl::Seconds(10)), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ConnectionTest, InterruptEndsWaitsAndStatements) {
  Interrupt interrupt;
  ASSERT_OK_AND_ASSIGN(Connection listener, OpenWithTimeout(absl::InfiniteDuration(), &interrupt));
  ASSERT_OK(listener.Listen("c"));
  std::thread first([&] { interrupt.Raise(); });
  EXPECT_THAT(listener.WaitForNotification(absl::InfiniteDuration()), StatusIs(absl::StatusCode::kCancelled));
  first.join();
  EXPECT_TRUE(listener.ok());
  interrupt.Clear();
  ASSERT_OK(listener.Execute("SELECT 1"));
  std::thread second([&] { interrupt.Raise(); });
  EXPECT_THAT(listener.Execute("SELECT pg_sleep(600)"), StatusIs(absl::StatusCode::kCancelled));
  second.join();
  EXPECT_FALSE(listener.ok());
  EXPECT_THAT(OpenWithTimeout(absl::Seconds(10), &interrupt), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ConnectionTest, RolePasswordIsStoredAsAVerifier) {
  ASSERT_OK(connection_->ExecuteScript("CREATE ROLE \"odd \"\"role\" LOGIN"));
  ASSERT_OK(connection_->SetRolePassword("odd \"role", SecretBytes("hunter2")));
  ASSERT_OK_AND_ASSIGN(const Result result, connection_->Execute("SELECT rolpassword FROM pg_authid WHERE rolname = $1",
                                                                 Parameters().Text("odd \"role")));
  EXPECT_THAT(result.Value<std::string>(), IsOkAndHolds(::testing::StartsWith("SCRAM-SHA-256$")));
  EXPECT_OK(connection_->ExecuteScript("DROP ROLE \"odd \"\"role\""));
  EXPECT_THAT(connection_->QuoteLiteral("it's"), IsOkAndHolds(Eq("'it''s'")));
  EXPECT_THAT(connection_->QuoteLiteral(std::string_view("\0", 1)), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace trustline
