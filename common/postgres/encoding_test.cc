// What needs no server: parameters, SQLSTATE, waits, connection strings, options.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/postgres/connection.h"
#include "common/postgres/pool.h"
#include "common/postgres/socket_wait.h"
#include "common/postgres/sql_error.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(SqlErrorTest, MapsSqlStates) {
  using enum absl::StatusCode;
  EXPECT_EQ(CodeOfSqlState("23505"), kAlreadyExists);
  EXPECT_EQ(CodeOfSqlState("23503"), kFailedPrecondition);
  EXPECT_EQ(CodeOfSqlState("40001"), kAborted);
  EXPECT_EQ(CodeOfSqlState("40P01"), kAborted);
  EXPECT_EQ(CodeOfSqlState("40003"), kFailedPrecondition);
  EXPECT_EQ(CodeOfSqlState("57P01"), kUnavailable);
  EXPECT_EQ(CodeOfSqlState("57P03"), kUnavailable);
  EXPECT_EQ(CodeOfSqlState("57014"), kDeadlineExceeded);
  EXPECT_EQ(CodeOfSqlState("08006"), kUnavailable);
  EXPECT_EQ(CodeOfSqlState("42501"), kPermissionDenied);
  EXPECT_EQ(CodeOfSqlState("42601"), kInternal);
  EXPECT_EQ(CodeOfSqlState("25006"), kFailedPrecondition);
  EXPECT_EQ(CodeOfSqlState("P0001"), kFailedPrecondition);
  EXPECT_EQ(CodeOfSqlState("28P01"), kUnauthenticated);
  EXPECT_EQ(CodeOfSqlState("53300"), kResourceExhausted);
  EXPECT_EQ(CodeOfSqlState("22021"), kInvalidArgument);
  EXPECT_EQ(CodeOfSqlState("XX001"), kDataLoss);
  EXPECT_EQ(CodeOfSqlState("XX000"), kInternal);
  EXPECT_EQ(CodeOfSqlState(""), kInternal);
}

TEST(SqlErrorTest, OtherErrorsHaveNoSqlState) { EXPECT_EQ(SqlStateOf(NotFound("no row")), ""); }

TEST(ParametersTest, RefusesTextThatWouldBeCut) {
  EXPECT_THAT(Parameters().Text(std::string_view("a\0b", 3)).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  const std::vector<std::string> texts = {"fine", std::string("a\0b", 3)};
  EXPECT_THAT(Parameters().TextArray(texts).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  Parameters parameters;
  parameters.Text(std::string_view("\0", 1));
  parameters.Clear();
  EXPECT_OK(parameters.status());
  EXPECT_EQ(parameters.size(), 0u);
}

TEST(WaitDeadlineTest, CountsDownAndHasNoLimitAtInfinity) {
  EXPECT_EQ(WaitDeadline::After(absl::InfiniteDuration()).PollTimeout(), -1);
  EXPECT_EQ(WaitDeadline::After(-absl::Seconds(1)).PollTimeout(), 0);
  const int left = WaitDeadline::After(absl::Seconds(100)).PollTimeout();
  EXPECT_GT(left, 90'000);
  EXPECT_LE(left, 100'000);
}

TEST(WaitForSocketTest, TellsReadyLateAndInterruptedApart) {
  Interrupt interrupt;
  const int fd = eventfd(0, EFD_CLOEXEC);
  EXPECT_OK(WaitForSocket(fd, POLLOUT, WaitDeadline::After(absl::Seconds(10)), &interrupt));
  EXPECT_THAT(WaitForSocket(fd, POLLIN, WaitDeadline::After(absl::Milliseconds(1)), &interrupt),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  std::thread raiser([&] { interrupt.Raise(); });
  EXPECT_THAT(WaitForSocket(fd, POLLIN, WaitDeadline::After(absl::InfiniteDuration()), &interrupt),
              StatusIs(absl::StatusCode::kCancelled));
  raiser.join();
  EXPECT_THAT(WaitForSocket(fd, POLLOUT, WaitDeadline::After(absl::InfiniteDuration()), &interrupt),
              StatusIs(absl::StatusCode::kCancelled));
  interrupt.Clear();
  EXPECT_OK(WaitForSocket(fd, POLLOUT, WaitDeadline::After(absl::InfiniteDuration()), &interrupt));
  close(fd);
}

TEST(ConnectionTest, NeverShowsTheTextOfABadConnectionString) {
  for (const std::string text :
       {"host=db password hunter2", "host=db password=a hunter2=x", "postgresql://user:hunter2@[::1/db", "hunter2",
        "host=a,b,c port=1,2 password=hunter2"}) {
    EXPECT_THAT(Connection::Open({.conninfo = text}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("PostgreSQL connection string"), Not(HasSubstr("hunter2")))))
        << text;
  }
}

TEST(ConnectionTest, RefusesTimeoutsOfZero) {
  EXPECT_THAT(Connection::Open({.conninfo = "", .connect_timeout = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Connection::Open({.conninfo = "", .query_timeout = -absl::Seconds(1)}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PoolTest, RefusesContradictions) {
  const auto code = [](const PoolOptions& options) { return Pool::Create(options).status().code(); };
  Interrupt interrupt;
  EXPECT_EQ(code({}), absl::StatusCode::kOk);
  EXPECT_EQ(code({.max_connections = 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.acquire_timeout = -absl::Seconds(1)}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.first_retry = absl::ZeroDuration()}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.first_retry = absl::Seconds(2), .longest_retry = absl::Seconds(1)}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.connection = {.connect_timeout = absl::ZeroDuration()}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.connection = {.interrupt = &interrupt}}), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trustline
