#include "cli/supervisor/child_process.h"

#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "cli/supervisor/process_record.h"
#include "common/posix/pidfd.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ChildCommand Shell(const std::string& script) {
  return {.program = "/bin/sh", .arguments = {"-c", script}, .user = {}};
}

TEST(ChildProcessTest, GivesOutputAndStatus) {
  ASSERT_OK_AND_ASSIGN(const FinishedProcess finished,
                       RunToEnd(Shell("echo out; echo err >&2; exit 3"), absl::Seconds(10)));
  EXPECT_EQ(finished.output, "out\nerr\n");
  EXPECT_EQ(WaitStatusText(finished.wait_status), "ended with status 3");
}

TEST(ChildProcessTest, StartsWithACleanState) {
  setenv("TRUSTLINE_SECRET", "not for children", 1);
  // One group of its own, no pending output of ours, no environment of ours, signals as usual.
  ASSERT_OK_AND_ASSIGN(const FinishedProcess finished,
                       RunToEnd(Shell("env; pwd; umask; ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)|NoNew' "
                                      "/proc/self/status"),
                                absl::Seconds(10)));
  EXPECT_THAT(finished.output, AllOf(HasSubstr("\n/\n0077\n"), Not(HasSubstr("TRUSTLINE_SECRET")),
                                     HasSubstr("SigBlk:\t0000000000000000"), HasSubstr("NoNewPrivs:\t1")));
}

TEST(ChildProcessTest, AProgramThatIsMissingIsNamed) {
  EXPECT_THAT(ChildProcess::Start({.program = "/nonexistent/tvsd", .arguments = {}, .user = {}}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/tvsd")));
}

TEST(ChildProcessTest, AProgramThatCannotBeExecutedIsNamed) {
  const TemporaryDirectory directory;
  const std::string path = directory.WriteFile("tvsd", "not a program");
  chmod(path.c_str(), 0755);
  EXPECT_THAT(ChildProcess::Start({.program = path, .arguments = {}, .user = {}}).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("could not execute it")));
}

TEST(ChildProcessTest, IsKilledAfterItsTime) {
  EXPECT_THAT(RunToEnd(Shell("sleep 1000"), absl::Milliseconds(100)).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(ChildProcessTest, DestroyingItEndsItsGroup) {
  pid_t grandchild = 0;
  int pidfd = -1;
  {
    ASSERT_OK_AND_ASSIGN(ChildProcess child, ChildProcess::Start(Shell("sleep 1000 & echo $!; wait")));
    std::string output;
    while (output.find('\n') == std::string::npos) output += child.ReadOutput();
    grandchild = std::stoi(output);
    pidfd = OpenPidfd(grandchild);
    ASSERT_GE(pidfd, 0);
  }
  pollfd event{.fd = pidfd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&event, 1, 10'000), 1) << "the grandchild lives on";
  close(pidfd);
}

TEST(ChildProcessTest, WhatAnEndedProcessLeftBehindIsKilled) {
  ASSERT_OK_AND_ASSIGN(const FinishedProcess finished,
                       RunToEnd(Shell("sleep 1000 >/dev/null 2>&1 & echo $!"), absl::Seconds(10)));
  EXPECT_EQ(WaitStatusText(finished.wait_status), "ended with status 0");
  const UniqueFd left(OpenPidfd(std::stoi(finished.output)));
  if (!left.valid()) return;  // gone already
  pollfd event{.fd = left.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&event, 1, 10'000), 1) << "the grandchild lives on";
}

TEST(ChildProcessTest, DiesWithItsParent) {
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const auto child = ChildProcess::Start(Shell("while :; do sleep 1; done"));
    const pid_t pid = child.ok() ? child->pid() : 0;
    if (write(report[1], &pid, sizeof(pid)) != sizeof(pid)) _exit(1);
    pause();
    _exit(0);
  }
  pid_t child = 0;
  ASSERT_EQ(read(report[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ASSERT_GT(child, 0);
  const int pidfd = OpenPidfd(child);
  ASSERT_GE(pidfd, 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  pollfd event{.fd = pidfd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&event, 1, 10'000), 1) << "the child outlives its parent";
  close(pidfd);
  close(report[0]);
  close(report[1]);
}

// Root gives its rights up; a program may then lie where the new user cannot look.
TEST(ChildProcessTest, ChangesTheUser) {
  const TemporaryDirectory directory;  // 0700
  const std::filesystem::path program = directory.path() / "id";
  std::filesystem::copy_file("/usr/bin/id", program);
  ChildCommand command{.program = program, .arguments = {}, .user = {}};
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  command.user = SystemUser{.name = "nobody", .uid = nobody->pw_uid, .gid = nobody->pw_gid, .shared_group = 12345};
  const auto finished = RunToEnd(command, absl::Seconds(10));
  if (geteuid() != 0) {
    EXPECT_THAT(finished.status(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("change the user")));
    return;
  }
  ASSERT_OK(finished);
  EXPECT_THAT(finished->output, AllOf(HasSubstr("uid=65534(nobody)"), HasSubstr("12345"), Not(HasSubstr("root"))));
}

}  // namespace
}  // namespace trustline
