#include "cli/supervisor/child_process.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class MigrateCommandTest : public ::testing::Test {
 protected:
  std::string Migrate(const std::string& connection, std::vector<std::string> more, int expected_status) {
    std::vector<std::string> arguments = {"migrate", "--database", connection, "--migrations",
                                          std::string(TRUSTLINE_SOURCE_DIR) + "/migrations"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto finished =
        RunToEnd({.program = TRUSTLINE_BIN_DIR "/trustline", .arguments = arguments, .user = {}}, absl::Seconds(60));
    EXPECT_OK(finished);
    if (!finished.ok()) return "";
    EXPECT_EQ(WaitStatusText(finished->wait_status), fmt::format("ended with status {}", expected_status))
        << finished->output;
    return finished->output;
  }
};

TEST_F(MigrateCommandTest, PlansAppliesAndIsDone) {
  ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
  const std::string connection = database->Conninfo();
  EXPECT_THAT(Migrate(connection, {"--plan"}, 0), HasSubstr("would apply 0001_roles_and_clusters.sql"));
  EXPECT_THAT(Migrate(connection, {"--plan"}, 0), HasSubstr("would apply 0001_roles_and_clusters.sql"));
  EXPECT_THAT(Migrate(connection, {}, 0), HasSubstr("applied"));
  EXPECT_THAT(Migrate(connection, {}, 0), HasSubstr("nothing to do"));
  EXPECT_OK(database->Connect("trustline_tvsd"));
}

TEST_F(MigrateCommandTest, TheDatabaseIsForTheRolesOnly) {
  ASSERT_OK_AND_ASSIGN(const auto database, ScratchDatabase::CreateEmpty());
  Migrate(database->Conninfo(), {}, 0);
  ASSERT_OK_AND_ASSIGN(Connection connection, database->Connect());
  ASSERT_OK(connection.Execute("CREATE ROLE stranger LOGIN").status());
  const auto rights = [&](const std::string& role) {
    const auto result = connection.Execute(
        "SELECT concat_ws(' ', CASE WHEN has_database_privilege($1, current_database(), 'CONNECT') THEN 'connect' END, "
        "CASE WHEN has_database_privilege($1, current_database(), 'TEMPORARY') THEN 'temporary' END, "
        "CASE WHEN has_database_privilege($1, current_database(), 'CREATE') THEN 'create' END)",
        Parameters().Text(role));
    EXPECT_OK(result);
    return result.ok() ? result->Value<std::string>().value_or("?") : "?";
  };
  EXPECT_EQ(rights("trustline_tvsd"), "connect");
  EXPECT_EQ(rights("trustline_itld"), "connect temporary");
  EXPECT_EQ(rights("stranger"), "");
  EXPECT_FALSE(database->Connect("stranger").ok());
}

TEST_F(MigrateCommandTest, ADatabaseThatDoesNotAnswerIsAnError) {
  EXPECT_THAT(Migrate("host=/nonexistent dbname=trustline", {}, 1), HasSubstr("trustline: "));
}

TEST_F(MigrateCommandTest, WrongUseIsStatusTwo) {
  const auto finished =
      RunToEnd({.program = TRUSTLINE_BIN_DIR "/trustline", .arguments = {"migrate"}, .user = {}}, absl::Seconds(20));
  ASSERT_OK(finished);
  EXPECT_EQ(WaitStatusText(finished->wait_status), "ended with status 2");
  EXPECT_THAT(finished->output, AllOf(HasSubstr("--database"), HasSubstr("required")));
}

}  // namespace
}  // namespace trustline
