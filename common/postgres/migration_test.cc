#include "common/postgres/migration.h"

#include <filesystem>

#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MigratorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = ScratchDatabase::CreateEmpty();
    ASSERT_OK(database);
    database_ = *std::move(database);
    directory_.WriteFile("0001_first.sql", "CREATE TABLE first (a int);");
    directory_.WriteFile("0002_second.sql", "CREATE TABLE second (a int); INSERT INTO first VALUES (1);");
    directory_.WriteFile("README", "not a migration");
  }

  absl::StatusOr<int> Apply(std::vector<std::string>* sentences = nullptr) {
    ASSIGN_OR_RETURN(const Migrator migrator, Migrator::Create(directory_.path()));
    ASSIGN_OR_RETURN(Connection connection, database_->Connect());
    return migrator.Apply(connection, "1.2.3", [&](std::string_view sentence) {
      if (sentences != nullptr) sentences->emplace_back(sentence);
    });
  }

  absl::StatusOr<int64_t> Number(const char* sql) {
    ASSIGN_OR_RETURN(Connection connection, database_->Connect());
    ASSIGN_OR_RETURN(const Result result, connection.Execute(sql));
    return result.Value<int64_t>();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<ScratchDatabase> database_;
};

TEST_F(MigratorTest, AppliesWhatIsMissing) {
  std::vector<std::string> sentences;
  EXPECT_THAT(Apply(&sentences), IsOkAndHolds(Eq(2)));
  EXPECT_THAT(sentences,
              ElementsAre("applying migration 0001_first.sql (1 of 2)", "applying migration 0002_second.sql (2 of 2)"));
  EXPECT_THAT(Apply(), IsOkAndHolds(Eq(0)));
  directory_.WriteFile("0003_third.sql", "INSERT INTO first VALUES (2)");
  EXPECT_THAT(Apply(), IsOkAndHolds(Eq(1)));
  EXPECT_THAT(Number("SELECT sum(a) FROM first"), IsOkAndHolds(Eq(3)));
  EXPECT_THAT(Number("SELECT count(*) FROM schema_migration WHERE version = '1.2.3' AND length(sha256) = 32 "
                     "AND applied_at <= now()"),
              IsOkAndHolds(Eq(3)));
}

TEST_F(MigratorTest, PlanChangesNothing) {
  ASSERT_OK_AND_ASSIGN(const Migrator migrator, Migrator::Create(directory_.path()));
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK_AND_ASSIGN(const std::vector<Migration> plan, migrator.Plan(connection));
  ASSERT_THAT(plan, SizeIs(2));
  EXPECT_EQ(plan[1].file_name, "0002_second.sql");
  EXPECT_EQ(plan[1].name, "second");
  EXPECT_THAT(Number("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), IsOkAndHolds(Eq(0)));
  ASSERT_OK(Apply());
  EXPECT_THAT(migrator.Plan(connection), IsOkAndHolds(IsEmpty()));
}

TEST_F(MigratorTest, EditedMigrationIsNamed) {
  ASSERT_OK(Apply());
  directory_.WriteFile("0001_first.sql", "CREATE TABLE first (a bigint);");
  EXPECT_THAT(Apply(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                AllOf(HasSubstr("0001_first.sql was edited"), HasSubstr("1.2.3"))));
}

TEST_F(MigratorTest, RenamedMigrationIsNamed) {
  ASSERT_OK(Apply());
  std::filesystem::rename(directory_.path() / "0002_second.sql", directory_.path() / "0002_other.sql");
  EXPECT_THAT(Apply(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0002_second.sql was applied")));
}

TEST_F(MigratorTest, MissingFilesMeanANewerVersionOrAGap) {
  ASSERT_OK(Apply());
  std::filesystem::remove(directory_.path() / "0002_second.sql");
  EXPECT_THAT(Apply(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                AllOf(HasSubstr("0002_second.sql"), HasSubstr("newer version 1.2.3"))));
  directory_.WriteFile("0003_third.sql", "SELECT 1");
  EXPECT_THAT(Apply(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("migration 0002 is missing")));
}

TEST_F(MigratorTest, RecordRemovedByHandIsAnError) {
  ASSERT_OK(Apply());
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK(connection.ExecuteScript("DELETE FROM schema_migration WHERE number = 1"));
  EXPECT_THAT(Apply(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not record migration 0001")));
}

TEST_F(MigratorTest, FailureHalfWayLeavesNothingOfThatFile) {
  directory_.WriteFile("0003_third.sql", "CREATE TABLE third (a int); INSERT INTO no_such_table VALUES (1);");
  directory_.WriteFile("0004_fourth.sql", "CREATE TABLE fourth (a int);");
  EXPECT_THAT(Apply(),
              StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("0003_third.sql: "), HasSubstr("no_such_table"))));
  EXPECT_THAT(Number("SELECT count(*) FROM pg_tables WHERE tablename IN ('third', 'fourth')"), IsOkAndHolds(Eq(0)));
  EXPECT_THAT(Number("SELECT max(number) FROM schema_migration"), IsOkAndHolds(Eq(2)));
  directory_.WriteFile("0003_third.sql", "CREATE TABLE third (a int)");
  EXPECT_THAT(Apply(), IsOkAndHolds(Eq(2)));
}

TEST_F(MigratorTest, TwoMigratorsAtOnceApplyEachFileOnce) {
  directory_.WriteFile("0003_slow.sql", "SELECT pg_sleep(0.2); INSERT INTO first VALUES (10)");
  std::atomic<int> applied = 0;
  std::vector<std::thread> migrators;
  for (int i = 0; i < 3; ++i) {
    migrators.emplace_back([&] {
      const absl::StatusOr<int> count = Apply();
      EXPECT_OK(count);
      applied += count.value_or(0);
    });
  }
  for (std::thread& migrator : migrators) migrator.join();
  EXPECT_EQ(applied, 3);
  EXPECT_THAT(Number("SELECT sum(a) FROM first"), IsOkAndHolds(Eq(11)));
}

TEST_F(MigratorTest, RefusesFilesThatCannotBeApplied) {
  const auto with = [](std::string_view name, std::string_view content) {
    const TemporaryDirectory directory;
    directory.WriteFile(name, content);
    return Migrator::Create(directory.path()).status();
  };
  using enum absl::StatusCode;
  EXPECT_THAT(with("1_first.sql", "SELECT 1"), StatusIs(kInvalidArgument, HasSubstr("1_first.sql")));
  EXPECT_THAT(with("0001-first.sql", "SELECT 1"), StatusIs(kInvalidArgument, HasSubstr("0001-first.sql")));
  EXPECT_THAT(with("0001_first.sql", ""), StatusIs(kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(with("0001_first.sql", std::string_view("\0", 1)), StatusIs(kInvalidArgument, HasSubstr("NUL")));
  EXPECT_THAT(with("0001_first.sql", "SELECT 1;\n  Commit;\n"), StatusIs(kInvalidArgument, HasSubstr("line 2")));
  EXPECT_THAT(with("0002_first.sql", "SELECT 1"), StatusIs(kInvalidArgument, HasSubstr("0001 is missing")));
  EXPECT_THAT(with("first.txt", "SELECT 1"), StatusIs(kNotFound));
  EXPECT_THAT(Migrator::Create("/no/such/directory"), StatusIs(kNotFound));
  EXPECT_OK(
      with("0001_first.sql", "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN;\nEND;\n$$;"));
  const TemporaryDirectory twice;
  twice.WriteFile("0001_a.sql", "SELECT 1");
  twice.WriteFile("0001_b.sql", "SELECT 1");
  EXPECT_THAT(Migrator::Create(twice.path()), StatusIs(kInvalidArgument, HasSubstr("same number")));
}

TEST_F(MigratorTest, RefusesAMigrationThatEndsItsTransaction) {
  directory_.WriteFile("0003_third.sql", "SELECT 1; COMMIT; SELECT 2;");
  EXPECT_FALSE(Apply().ok());
  EXPECT_THAT(Number("SELECT max(number) FROM schema_migration"), IsOkAndHolds(Eq(2)));
}

}  // namespace
}  // namespace trustline
