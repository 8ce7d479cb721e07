#include "cli/supervisor/child_log.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Content(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class ChildLogTest : public ::testing::Test {
 protected:
  ChildLog OpenLog(size_t max_file_size = 1'000'000, int files = 3) {
    auto log = ChildLog::Open({.path = Path(), .max_file_size = max_file_size, .files = files},
                              [this](std::string_view line) { lines_.emplace_back(line); });
    EXPECT_OK(log);
    return *std::move(log);
  }
  std::string Path() const { return directory_.path() / "tvsd.log"; }

  TemporaryDirectory directory_;
  std::vector<std::string> lines_;
};

TEST_F(ChildLogTest, HandsOnWholeLines) {
  ChildLog log = OpenLog();
  log.Append("one\ntw");
  EXPECT_THAT(lines_, ElementsAre("one"));
  log.Append("o\n\nthree");
  EXPECT_THAT(lines_, ElementsAre("one", "two", ""));
  EXPECT_EQ(log.last_line(), "two");
  log.Note("stopped");
  EXPECT_THAT(lines_, ElementsAre("one", "two", "", "three"));
  EXPECT_THAT(Content(Path()), HasSubstr("one\ntwo\n\nthree\n"));
  EXPECT_THAT(Content(Path()), HasSubstr("supervisor: stopped\n"));
}

TEST_F(ChildLogTest, GoesOnInAFileThatIsThere) {
  OpenLog().Append("before\n");
  OpenLog().Append("after\n");
  EXPECT_EQ(Content(Path()), "before\nafter\n");
}

TEST_F(ChildLogTest, KeepsABoundedNumberOfFiles) {
  ChildLog log = OpenLog(/*max_file_size=*/20, /*files=*/3);
  for (int i = 0; i < 10; ++i) log.Append(fmt::format("line number {}\n", i));  // 14 bytes: one a file
  EXPECT_EQ(Content(Path()), "line number 9\n");
  EXPECT_EQ(Content(Path() + ".1"), "line number 8\n");
  EXPECT_EQ(Content(Path() + ".2"), "line number 7\n");
  EXPECT_FALSE(std::filesystem::exists(Path() + ".3"));
}

TEST_F(ChildLogTest, SplitsALineWithoutEnd) {
  ChildLog log = OpenLog();
  log.Append(std::string(200'000, 'x'));
  EXPECT_EQ(lines_.size(), 3u);
  EXPECT_EQ(lines_[0].size(), 65'536u);
}

TEST_F(ChildLogTest, AFileThatCannotBeMadeIsNamed) {
  EXPECT_THAT(ChildLog::Open({.path = directory_.path() / "no" / "x.log"}, [](std::string_view) {}).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("x.log")));
}

TEST(ImportantLineTest, OfADaemon) {
  EXPECT_TRUE(IsImportantDaemonLine("tvsd: /x/tvsd.toml:3: unknown key"));
  EXPECT_TRUE(IsImportantDaemonLine(R"({"time":"t","level":"error","id":"X"})"));
  EXPECT_TRUE(IsImportantDaemonLine(R"({"time":"t","level":"warning","id":"X"})"));
  EXPECT_FALSE(IsImportantDaemonLine(R"({"time":"t","level":"info","id":"X"})"));
  EXPECT_FALSE(IsImportantDaemonLine(""));
}

TEST(ImportantLineTest, OfPostgres) {
  EXPECT_TRUE(IsImportantPostgresLine("2026-11-22 20:00:00.000 UTC [7] XX001 PANIC:  could not write"));
  EXPECT_TRUE(IsImportantPostgresLine("2026-11-22 20:00:00.000 UTC [7] F0001 FATAL:  lock file exists"));
  EXPECT_FALSE(
      IsImportantPostgresLine("2026-11-22 20:00:00.000 UTC [7] 57P03 FATAL:  the database system is starting up"));
  EXPECT_FALSE(IsImportantPostgresLine("2026-11-22 20:00:00.000 UTC [7] 00000 LOG:  checkpoint complete"));
  EXPECT_FALSE(IsImportantPostgresLine("2026-11-22 20:00:00.000 UTC [7] 23505 ERROR:  duplicate key"));
}

}  // namespace
}  // namespace trustline
