#include "cli/supervisor/supervisor.h"

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(supervisor_,
                         Supervisor::Create([this](std::string_view line) { reports_.emplace_back(line); }));
  }
  ChildSpec Shell(const std::string& name, const std::string& script) {
    return {.name = name,
            .command = {.program = "/bin/sh", .arguments = {"-c", script}, .user = {}},
            .log_path = File(name + ".log"),
            .pid_path = File(name + ".pid"),
            .is_important = [](std::string_view line) { return line.starts_with("!"); }};
  }
  std::string File(const std::string& name) const { return directory_.path() / name; }
  std::string Content(const std::string& name) const { return ReadSmallFile(File(name)).value_or(""); }
  absl::Status WaitUntil(const std::function<bool()>& done) {
    return supervisor_->WaitUntil("nothing happened", absl::Seconds(20),
                                  [&]() -> absl::StatusOr<bool> { return done(); });
  }

  TemporaryDirectory directory_;
  std::vector<std::string> reports_;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, RestartsWhatDies) {
  ASSERT_OK(supervisor_->Start(Shell("a", "echo up; while :; do sleep 1; done")));
  ASSERT_OK(WaitUntil([&] { return Content("a.log") == "up\n"; }));
  ASSERT_OK_AND_ASSIGN(const ProcessRecord first, ProcessRecord::Read(File("a.pid")));
  ASSERT_EQ(kill(first.pid, SIGKILL), 0);
  ASSERT_OK(WaitUntil([&] {
    const auto record = ProcessRecord::Read(File("a.pid"));
    return record.ok() && !(*record == first);
  }));
  EXPECT_THAT(Content("a.log"), HasSubstr("a was ended by signal 9 (Killed); it starts again in 200ms"));
  EXPECT_THAT(reports_, Contains(HasSubstr("a was ended by signal 9")));
}

TEST_F(SupervisorTest, AnEndBeforeReadyEndsTheStartWithItsLastWords) {
  ASSERT_OK(supervisor_->Start(Shell("a", "echo 'a.toml:3: unknown key' >&2; exit 1")));
  EXPECT_THAT(WaitUntil([] { return false; }),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("a ended with status 1"), HasSubstr("a.toml:3: unknown key"))));
  EXPECT_THAT(reports_, ::testing::IsEmpty()) << "it does not start again";
}

TEST_F(SupervisorTest, OneThatMayEndIsStartedAgain) {
  ChildSpec spec =
      Shell("a", fmt::format("[ -e {0} ] && echo second && exec sleep 1000; touch {0}; exit 1", File("mark")));
  spec.must_survive_start = false;
  ASSERT_OK(supervisor_->Start(spec));
  EXPECT_OK(WaitUntil([&] { return Content("a.log").find("second") != std::string::npos; }));
}

TEST_F(SupervisorTest, OneThatIsOptionalMayEndOrNotStartAtAll) {
  ChildSpec ends = Shell("ends", "echo 'a key is open to others' >&2; exit 1");
  ends.is_optional = true;
  ASSERT_OK(supervisor_->Start(ends));
  EXPECT_OK(supervisor_->LastEnd("ends"));
  ASSERT_OK(WaitUntil([&] { return !supervisor_->LastEnd("ends").ok(); }));
  EXPECT_THAT(supervisor_->LastEnd("ends"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("ends ended with status 1"), HasSubstr("a key is open to others"))));

  bool is_mended = false;
  ChildSpec late = Shell("late", "exec sleep 1000");
  late.is_optional = true;
  late.prepare = [&] { return is_mended ? absl::OkStatus() : FailedPrecondition("a file is damaged"); };
  ASSERT_OK(supervisor_->Start(late));
  EXPECT_THAT(supervisor_->LastEnd("late"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                     HasSubstr("late could not be started: a file is damaged")));
  is_mended = true;
  EXPECT_OK(WaitUntil([&] { return FileExists(File("late.pid")); }));
  EXPECT_OK(supervisor_->StartFailure());
}

TEST_F(SupervisorTest, WhatIsLeftIsTriedUntilItIsDone) {
  int tries = 0;
  supervisor_->Run([] {},
                   [&] {
                     if (++tries == 2) kill(getpid(), SIGTERM);
                     return tries == 2;
                   });
  EXPECT_EQ(tries, 2);
}

TEST_F(SupervisorTest, ImportantLinesAreShown) {
  ASSERT_OK(supervisor_->Start(Shell("a", "echo quiet; echo '! loud'; exec sleep 1000")));
  ASSERT_OK(WaitUntil([&] { return !reports_.empty(); }));
  EXPECT_THAT(reports_, ::testing::ElementsAre("[a] ! loud"));
  EXPECT_EQ(Content("a.log"), "quiet\n! loud\n");
}

TEST_F(SupervisorTest, StopsInReverseOrderAndLeavesNoPidFile) {
  const auto script = [&](const std::string& name) {
    return fmt::format("trap 'echo {0} >> {1}; exit 0' TERM; echo up; while :; do sleep 0.05; done", name,
                       File("order"));
  };
  for (const char* name : {"first", "second", "third"}) {
    ASSERT_OK(supervisor_->Start(Shell(name, script(name))));
    ASSERT_OK(WaitUntil([&] { return Content(std::string(name) + ".log") == "up\n"; }));
  }
  supervisor_->StopAll();
  EXPECT_EQ(Content("order"), "third\nsecond\nfirst\n");
  EXPECT_FALSE(FileExists(File("first.pid")));
}

TEST_F(SupervisorTest, OneThatDoesNotStopIsKilled) {
  ChildSpec spec = Shell("deaf", "trap '' TERM; echo up; while :; do sleep 0.05; done");
  spec.patience = absl::Milliseconds(200);
  ASSERT_OK(supervisor_->Start(spec));
  ASSERT_OK(WaitUntil([&] { return Content("deaf.log") == "up\n"; }));
  supervisor_->StopAll();
  EXPECT_THAT(reports_, Contains(HasSubstr("deaf does not stop; it is killed")));
}

TEST_F(SupervisorTest, ASignalEndsTheWait) {
  kill(getpid(), SIGTERM);
  EXPECT_THAT(WaitUntil([] { return false; }), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(supervisor_->stop_requested());
}

TEST_F(SupervisorTest, AProgramThatIsMissingIsAnError) {
  ChildSpec spec = Shell("a", "");
  spec.command.program = "/nonexistent/tvsd";
  EXPECT_THAT(supervisor_->Start(spec), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trustline
