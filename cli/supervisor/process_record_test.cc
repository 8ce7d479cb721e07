#include "cli/supervisor/process_record.h"

#include <unistd.h>

#include <csignal>

#include "absl/time/clock.h"
#include "cli/supervisor/child_process.h"
#include "cli/supervisor/private_file.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

ChildCommand Sleep() { return {.program = "/bin/sleep", .arguments = {"1000"}, .user = {}}; }

class ProcessRecordTest : public ::testing::Test {
 protected:
  std::string PidFile() const { return directory_.path() / "a.pid"; }
  TemporaryDirectory directory_;
};

TEST_F(ProcessRecordTest, IsReadAsWritten) {
  ASSERT_OK_AND_ASSIGN(const ProcessRecord own, ProcessRecord::Of(getpid()));
  EXPECT_GT(own.start_time, 0u);
  ASSERT_OK(own.Write(PidFile()));
  EXPECT_THAT(ProcessRecord::Read(PidFile()), IsOkAndHolds(own));
}

TEST_F(ProcessRecordTest, EndsTheRecordedProcess) {
  ASSERT_OK_AND_ASSIGN(ChildProcess child, ChildProcess::Start(Sleep()));
  ASSERT_OK_AND_ASSIGN(const ProcessRecord record, ProcessRecord::Of(child.pid()));
  ASSERT_OK(record.Write(PidFile()));
  EXPECT_THAT(EndRecordedProcess(PidFile(), SIGTERM, absl::Seconds(10)), IsOkAndHolds(true));
  EXPECT_FALSE(FileExists(PidFile()));
  const auto status = child.TryWait();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(WaitStatusText(*status), "was ended by signal 15 (Terminated)");
}

TEST_F(ProcessRecordTest, KillsOneThatDoesNotListen) {
  // The output says when the signal is ignored.
  ASSERT_OK_AND_ASSIGN(ChildProcess child,
                       ChildProcess::Start({.program = "/bin/sh",
                                            .arguments = {"-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"},
                                            .user = {}}));
  std::string output;
  while (output.find("deaf") == std::string::npos) output += child.ReadOutput();
  ASSERT_OK_AND_ASSIGN(const ProcessRecord record, ProcessRecord::Of(child.pid()));
  ASSERT_OK(record.Write(PidFile()));
  EXPECT_THAT(EndRecordedProcess(PidFile(), SIGTERM, absl::Milliseconds(50)), IsOkAndHolds(true));
  EXPECT_EQ(WaitStatusText(child.TryWait().value_or(0)), "was ended by signal 9 (Killed)");
}

TEST_F(ProcessRecordTest, LeavesAnotherProcessOfTheSameNumberAlone) {
  ASSERT_OK_AND_ASSIGN(ChildProcess child, ChildProcess::Start(Sleep()));
  ASSERT_OK_AND_ASSIGN(const ProcessRecord record, ProcessRecord::Of(child.pid()));

  ProcessRecord earlier = record;
  --earlier.start_time;
  ASSERT_OK(earlier.Write(PidFile()));
  EXPECT_THAT(EndRecordedProcess(PidFile(), SIGKILL, absl::Seconds(1)), IsOkAndHolds(false));

  ProcessRecord of_another_boot = record;
  of_another_boot.boot_id = "00000000-0000-0000-0000-000000000000";
  ASSERT_OK(of_another_boot.Write(PidFile()));
  EXPECT_THAT(EndRecordedProcess(PidFile(), SIGKILL, absl::Seconds(1)), IsOkAndHolds(false));

  EXPECT_FALSE(child.TryWait().has_value());
  EXPECT_FALSE(FileExists(PidFile()));
}

TEST_F(ProcessRecordTest, AFileThatNamesNobodyEndsNobody) {
  for (const char* content : {"", "\n", "no number", "1 1 boot", "-5 1 boot", "0 0 x", "12"}) {
    ASSERT_OK(WriteFileWhole(PidFile(), content));
    EXPECT_THAT(EndRecordedProcess(PidFile(), SIGKILL, absl::Seconds(1)), IsOkAndHolds(false)) << content;
  }
  EXPECT_THAT(EndRecordedProcess(PidFile(), SIGKILL, absl::Seconds(1)), IsOkAndHolds(false));
}

}  // namespace
}  // namespace trustline
