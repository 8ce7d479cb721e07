#include "tests/support/scratch_database.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/fake_clock.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(ScratchDatabaseTest, DatabasesAreApart) {
  ASSERT_OK_AND_ASSIGN(const auto first, ScratchDatabase::CreateEmpty());
  ASSERT_OK_AND_ASSIGN(const auto second, ScratchDatabase::CreateEmpty());
  ASSERT_OK_AND_ASSIGN(Connection one, first->Connect());
  ASSERT_OK_AND_ASSIGN(Connection two, second->Connect());
  ASSERT_OK(one.ExecuteScript("CREATE TABLE t (a int)"));
  EXPECT_OK(two.ExecuteScript("CREATE TABLE t (a int)"));
}

TEST(ScratchDatabaseTest, HasTheMigrations) {
  ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::Create());
  ASSERT_OK_AND_ASSIGN(Connection connection, database->Connect());
  ASSERT_OK_AND_ASSIGN(const Result result, connection.Execute("SELECT count(*) FROM schema_migration"));
  ASSERT_OK_AND_ASSIGN(const int64_t count, result.Value<int64_t>());
  EXPECT_GT(count, 0);
}

TEST(ScratchDatabaseTest, KeepsCommittedRowsThroughAKill) {
  ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
  {
    ASSERT_OK_AND_ASSIGN(Connection connection, database->Connect());
    ASSERT_OK(connection.ExecuteScript("CREATE TABLE t (a int); INSERT INTO t VALUES (7)"));
    ASSERT_OK(database->Kill());
    EXPECT_FALSE(connection.CheckAlive());
  }
  EXPECT_FALSE(database->Connect().ok());
  ASSERT_OK(database->Restart());
  ASSERT_OK_AND_ASSIGN(Connection connection, database->Connect());
  ASSERT_OK_AND_ASSIGN(const Result result, connection.Execute("SELECT a FROM t"));
  EXPECT_THAT(result.Value<int64_t>(), IsOkAndHolds(Eq(7)));
}

TEST(ScratchDatabaseTest, CreateRepairsWhatATestLeft) {
  {
    ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
    ASSERT_OK(database->Pause());
  }
  {
    ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
    ASSERT_OK_AND_ASSIGN(Connection connection, database->Connect());
    ASSERT_OK(database->Stop());
  }
  ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
  EXPECT_OK(database->Connect());
}

TEST(PostgresClusterTest, ServerAndFolderEndWithAKilledProcess) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    PostgresCluster cluster;
    const absl::Status started = cluster.Start();
    const std::string folder = started.ok() ? cluster.socket_directory() : started.ToString();
    if (write(pipe_ends[1], folder.data(), folder.size()) < 0) _exit(1);
    kill(getpid(), SIGKILL);
  }
  close(pipe_ends[1]);
  std::string folder;
  char buffer[4096];
  // Ends when no process holds the other end any more: neither the child nor one that it left behind.
  for (ssize_t size; (size = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) folder.append(buffer, size);
  close(pipe_ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_THAT(folder, StartsWith((std::filesystem::temp_directory_path() / "tlpg.").string()));

  // Not to be watched means: gone already. Otherwise the end of the folder is the only event.
  const int events = inotify_init1(IN_CLOEXEC);
  ASSERT_GE(events, 0);
  if (inotify_add_watch(events, folder.c_str(), IN_DELETE_SELF) >= 0) {
    pollfd wait = {.fd = events, .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&wait, 1, 30'000), 1);
  }
  close(events);
  EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
}

TEST(TemporaryDirectoryTest, GoesWithItsFiles) {
  std::string file;
  {
    const TemporaryDirectory directory;
    file = directory.WriteFile("a/b.txt", "text");
    EXPECT_EQ(std::filesystem::file_size(file), 4u);
  }
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(FakeClockTest, MovesOnlyWhenTold) {
  FakeClock clock(absl::FromUnixSeconds(100));
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(105));
  clock.Set(absl::FromUnixSeconds(7));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(7));
}

TEST(StatusMatchersTest, TellCodesAndMessagesApart) {
  EXPECT_THAT(absl::OkStatus(), IsOk());
  EXPECT_THAT(NotFound("no row"), Not(IsOk()));
  EXPECT_THAT(absl::StatusOr<int>(NotFound("no row")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("row")));
  EXPECT_THAT(NotFound("no row"), Not(StatusIs(absl::StatusCode::kNotFound, HasSubstr("column"))));
  EXPECT_THAT(NotFound("no row"), Not(StatusIs(absl::StatusCode::kInternal)));
  EXPECT_THAT(absl::StatusOr<int>(7), IsOkAndHolds(Eq(7)));
  EXPECT_THAT(absl::StatusOr<int>(7), Not(IsOkAndHolds(Eq(8))));
}

}  // namespace
}  // namespace trustline
