#include "common/postgres/transaction.h"

#include "common/postgres/sql_error.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

class TransactionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = ScratchDatabase::CreateEmpty();
    ASSERT_OK(database);
    database_ = *std::move(database);
    for (auto* connection : {&first_, &second_}) {
      auto opened = database_->Connect();
      ASSERT_OK(opened);
      *connection = std::make_unique<Connection>(*std::move(opened));
    }
    ASSERT_OK(first_->ExecuteScript("CREATE TABLE t (a bigint); INSERT INTO t VALUES (0)"));
  }

  int64_t Sum() {
    const auto result = second_->Execute("SELECT sum(a)::bigint FROM t");
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<Connection> first_, second_;
};

TEST_F(TransactionTest, CommitsOrRollsBackWithItsScope) {
  {
    ASSERT_OK_AND_ASSIGN(const Transaction transaction, Transaction::Begin(*first_));
    ASSERT_OK(first_->Execute("INSERT INTO t VALUES (1)"));
    EXPECT_TRUE(first_->InTransaction());
    EXPECT_THAT(Transaction::Begin(*first_), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(first_->SetQueryTimeout(absl::Seconds(1)), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_FALSE(first_->InTransaction());
  EXPECT_EQ(Sum(), 0);
  ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*first_));
  ASSERT_OK(first_->Execute("INSERT INTO t VALUES (2)"));
  ASSERT_OK(transaction.Commit());
  EXPECT_EQ(Sum(), 2);
  EXPECT_THAT(transaction.Commit(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(transaction.Rollback());
}

TEST_F(TransactionTest, CommitAfterAFailedStatementIsAnError) {
  ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*first_));
  ASSERT_OK(first_->Execute("INSERT INTO t VALUES (1)"));
  ASSERT_FALSE(first_->Execute("SELECT 1/0").ok());
  EXPECT_THAT(transaction.Commit(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rolled back")));
  EXPECT_EQ(Sum(), 0);
}

TEST_F(TransactionTest, WhatWasKeptIsDoneByTheCommitOrNotAtAll) {
  static constexpr Statement kInsert = {"insert", "INSERT INTO t VALUES ($1)"};
  static constexpr Statement kFail = {"divide", "INSERT INTO t VALUES (1 / $1)"};
  const auto insert_and = [&](const Statement& last, int64_t number) {
    return RunInTransaction(*first_, {}, [&](Connection& connection) -> absl::Status {
      RETURN_IF_ERROR(connection.Execute(kInsert, Parameters().Int64(1)).status());
      connection.ExecuteWithNext(last, Parameters().Int64(number));
      return absl::OkStatus();
    });
  };
  EXPECT_OK(insert_and(kInsert, 2));
  EXPECT_EQ(Sum(), 3);
  EXPECT_THAT(insert_and(kFail, 0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("divide")));
  EXPECT_FALSE(first_->InTransaction());
  EXPECT_EQ(Sum(), 3);
  // A failure of the body keeps it from being sent.
  EXPECT_THAT(RunInTransaction(*first_, {},
                               [&](Connection& connection) -> absl::Status {
                                 connection.ExecuteWithNext(kInsert, Parameters().Int64(4));
                                 return Aborted("by the body");
                               }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_FALSE(first_->InTransaction());
  EXPECT_OK(insert_and(kInsert, 5));
  EXPECT_EQ(Sum(), 9);
}

TEST_F(TransactionTest, OneWhoseFirstStatementCannotBeSentIsOneAllTheSame) {
  ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*first_));
  static constexpr Statement kWrong = {"wrong", "INSERT INTO nothing VALUES (1)"};
  EXPECT_FALSE(first_->Execute(kWrong).ok());
  EXPECT_TRUE(first_->InTransaction());
  // Who goes on all the same is still within it.
  ASSERT_OK(first_->Execute("INSERT INTO t VALUES (7)"));
  EXPECT_EQ(Sum(), 0);
  ASSERT_OK(transaction.Rollback());
  EXPECT_EQ(Sum(), 0);
}

TEST_F(TransactionTest, OneThatDoesNothingIsNotBegun) {
  {
    ASSERT_OK_AND_ASSIGN(const Transaction transaction, Transaction::Begin(*first_));
    EXPECT_TRUE(first_->InTransaction());
    ASSERT_OK_AND_ASSIGN(const Result state, second_->Execute("SELECT state FROM pg_stat_activity WHERE pid = $1::int",
                                                              Parameters().Int64(first_->backend_pid())));
    EXPECT_THAT(state.Value<std::string>(), IsOkAndHolds(Eq("idle")));
  }
  EXPECT_FALSE(first_->InTransaction());
  ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*first_));
  EXPECT_OK(transaction.Commit());
  EXPECT_FALSE(first_->InTransaction());
}

TEST_F(TransactionTest, SerializationFailureIsRetried) {
  int attempts = 0;
  const auto result = RunInTransaction(
      *first_, {.isolation = Isolation::kRepeatableRead}, [&](Connection& connection) -> absl::StatusOr<int64_t> {
        ASSIGN_OR_RETURN(const Result read, connection.Execute("SELECT a FROM t"));
        ASSIGN_OR_RETURN(const int64_t value, read.Value<int64_t>());
        // Another transaction commits a change of the row that this one has read and is about to write.
        if (++attempts < 3) RETURN_IF_ERROR(second_->ExecuteScript("UPDATE t SET a = a + 10"));
        RETURN_IF_ERROR(connection.Execute("UPDATE t SET a = $1", Parameters().Int64(value + 1)).status());
        return value;
      });
  EXPECT_THAT(result, IsOkAndHolds(Eq(20)));
  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(Sum(), 21);
}

TEST_F(TransactionTest, RetriesHaveABound) {
  int attempts = 0;
  const absl::Status status = RunInTransaction(*first_, {.isolation = Isolation::kSerializable, .max_attempts = 2},
                                               [&](Connection& connection) -> absl::Status {
                                                 ++attempts;
                                                 RETURN_IF_ERROR(connection.Execute("SELECT a FROM t").status());
                                                 RETURN_IF_ERROR(second_->ExecuteScript("UPDATE t SET a = a + 1"));
                                                 return connection.Execute("UPDATE t SET a = 0").status();
                                               });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, HasSubstr("given up after 2 attempts")));
  EXPECT_EQ(SqlStateOf(status), "40001");
  EXPECT_EQ(attempts, 2);
  EXPECT_EQ(Sum(), 2);
}

TEST_F(TransactionTest, OtherErrorsAreNotRetriedAndUndoTheRest) {
  int attempts = 0;
  EXPECT_THAT(RunInTransaction(*first_, {},
                               [&](Connection& connection) -> absl::Status {
                                 ++attempts;
                                 RETURN_IF_ERROR(connection.Execute("INSERT INTO t VALUES (5)").status());
                                 return Aborted("not the server's");
                               }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(attempts, 1);
  EXPECT_EQ(Sum(), 0);
}

TEST_F(TransactionTest, LostConnectionIsNotRetried) {
  int attempts = 0;
  EXPECT_THAT(RunInTransaction(*first_, {},
                               [&](Connection& connection) -> absl::Status {
                                 ++attempts;
                                 RETURN_IF_ERROR(connection.Execute("INSERT INTO t VALUES (5)").status());
                                 RETURN_IF_ERROR(database_->Kill());
                                 return absl::OkStatus();
                               }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(attempts, 1);
}

TEST_F(TransactionTest, DeadlockIsRetriedUntilBothSucceed) {
  ASSERT_OK(first_->ExecuteScript("CREATE TABLE d (id int PRIMARY KEY, a int); INSERT INTO d VALUES (1, 0), (2, 0)"));
  ASSERT_OK(first_->ExecuteScript("SET deadlock_timeout = '20ms'"));
  ASSERT_OK(second_->ExecuteScript("SET deadlock_timeout = '20ms'"));
  std::atomic<int> locked = 0;
  const auto update = [&](Connection& mine, int id, int other) {
    bool first_attempt = true;
    return RunInTransaction(mine, {}, [&](Connection& connection) -> absl::Status {
      static constexpr Statement kUpdate = {"update", "UPDATE d SET a = a + 1 WHERE id = $1"};
      RETURN_IF_ERROR(connection.Execute(kUpdate, Parameters().Int64(id)).status());
      if (std::exchange(first_attempt, false)) {
        ++locked;
        while (locked < 2) std::this_thread::yield();  // until both hold their first row
      }
      return connection.Execute(kUpdate, Parameters().Int64(other)).status();
    });
  };
  std::thread other([&] { EXPECT_OK(update(*second_, 2, 1)); });
  EXPECT_OK(update(*first_, 1, 2));
  other.join();
  ASSERT_OK_AND_ASSIGN(const Result result, first_->Execute("SELECT sum(a) FROM d"));
  EXPECT_THAT(result.Value<int64_t>(), IsOkAndHolds(Eq(4)));
}

}  // namespace
}  // namespace trustline
