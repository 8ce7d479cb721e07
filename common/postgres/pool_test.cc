#include "common/postgres/pool.h"

#include "common/postgres/transaction.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

class PoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = ScratchDatabase::CreateEmpty();
    ASSERT_OK(database);
    database_ = *std::move(database);
  }

  std::unique_ptr<Pool> MakePool(int size, absl::Duration connect_timeout = absl::Seconds(30)) {
    auto pool = Pool::Create({.connection = {.conninfo = database_->Conninfo(),
                                             .application_name = "pool",
                                             .connect_timeout = connect_timeout,
                                             .query_timeout = absl::Seconds(30)},
                              .max_connections = size,
                              .acquire_timeout = absl::Seconds(30),
                              .first_retry = absl::Milliseconds(1),
                              .longest_retry = absl::Milliseconds(20)});
    EXPECT_OK(pool);
    return *std::move(pool);
  }

  std::unique_ptr<ScratchDatabase> database_;
};

TEST_F(PoolTest, OpensLazilyAndUsesConnectionsAgain) {
  const auto pool = MakePool(3);
  EXPECT_EQ(pool->statistics().open, 0);
  for (int i = 0; i < 5; ++i) {
    ASSERT_OK_AND_ASSIGN(const Pool::Lease lease, pool->Acquire());
    EXPECT_OK(lease->Execute("SELECT 1"));
    EXPECT_EQ(pool->statistics().idle, 0);
  }
  EXPECT_EQ(pool->statistics().open, 1);
  EXPECT_EQ(pool->statistics().idle, 1);
  EXPECT_EQ(pool->statistics().connected, 1);
  EXPECT_EQ(pool->statistics().waits, 1);
}

TEST_F(PoolTest, ExhaustionIsAnErrorAtTheDeadlineAndAReturnEndsTheWait) {
  const auto pool = MakePool(2);
  ASSERT_OK_AND_ASSIGN(auto first, pool->Acquire());
  ASSERT_OK_AND_ASSIGN(const auto second, pool->Acquire());
  EXPECT_THAT(pool->Acquire(absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("all 2 database connections")));
  EXPECT_EQ(pool->statistics().timeouts, 1);
  const int64_t waits = pool->statistics().waits;
  std::thread waiter([&] { EXPECT_OK(pool->Acquire()); });
  while (pool->statistics().waits == waits) std::this_thread::yield();
  { const Pool::Lease returned = std::move(first); }
  waiter.join();
  EXPECT_EQ(pool->statistics().open, 2);
}

TEST_F(PoolTest, ManyThreadsShareAFewConnections) {
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK(connection.ExecuteScript("CREATE TABLE t (a bigint); INSERT INTO t VALUES (0)"));
  const auto pool = MakePool(3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) {
        EXPECT_OK(
            RunInTransaction(*pool, {}, [](Connection& c) { return c.Execute("UPDATE t SET a = a + 1").status(); }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(pool->statistics().open, 3);
  ASSERT_OK_AND_ASSIGN(const Result result, connection.Execute("SELECT a FROM t"));
  EXPECT_THAT(result.Value<int64_t>(), IsOkAndHolds(Eq(80)));
}

TEST_F(PoolTest, ConnectionLeftInATransactionIsDropped) {
  const auto pool = MakePool(1);
  {
    ASSERT_OK_AND_ASSIGN(const auto lease, pool->Acquire());
    ASSERT_OK(lease->Execute("BEGIN"));
  }
  EXPECT_EQ(pool->statistics().discarded, 1);
  ASSERT_OK_AND_ASSIGN(const auto lease, pool->Acquire());
  EXPECT_FALSE(lease->InTransaction());
}

TEST_F(PoolTest, ReconnectsAfterARestart) {
  const auto pool = MakePool(2);
  {
    ASSERT_OK_AND_ASSIGN(const auto first, pool->Acquire());
    ASSERT_OK_AND_ASSIGN(const auto second, pool->Acquire());
  }
  ASSERT_OK(database_->Kill());
  EXPECT_THAT(pool->Acquire(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(pool->statistics().open, 0);
  EXPECT_EQ(pool->statistics().discarded, 2);
  EXPECT_GT(pool->statistics().connect_failures, 0);
  ASSERT_OK(database_->Restart());
  // At most the back-off passes until the pool tries again.
  absl::StatusOr<Pool::Lease> lease = pool->Acquire();
  for (const absl::Time limit = absl::Now() + absl::Seconds(30); !lease.ok() && absl::Now() < limit;) {
    lease = pool->Acquire();
  }
  ASSERT_OK(lease);
  EXPECT_OK((*lease)->Execute("SELECT 1"));
}

TEST_F(PoolTest, FrozenServerDoesNotHoldACallerPastItsDeadline) {
  const auto pool = MakePool(1, absl::Seconds(600));
  ASSERT_OK(database_->Pause());
  EXPECT_THAT(pool->Acquire(absl::Milliseconds(50)), StatusIs(absl::StatusCode::kUnavailable));
  std::thread waiter([&] {
    EXPECT_THAT(pool->Acquire(absl::Seconds(600)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shut down")));
  });
  while (pool->statistics().waits < 2) std::this_thread::yield();
  pool->Shutdown();
  waiter.join();
  ASSERT_OK(database_->Resume());
}

TEST_F(PoolTest, ShutdownEndsRunningStatements) {
  const auto pool = MakePool(1);
  ASSERT_OK_AND_ASSIGN(const auto lease, pool->Acquire());
  std::thread stopper([&] { pool->Shutdown(); });
  EXPECT_THAT(lease->Execute("SELECT pg_sleep(25)"), StatusIs(absl::StatusCode::kCancelled));
  stopper.join();
  EXPECT_THAT(pool->Acquire(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace trustline
