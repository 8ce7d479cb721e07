// Real executables as hooks.
#include "itl/reset/hook_run.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "common/posix/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/reset/hook_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class HookRunTest : public ::testing::Test {
 protected:
  HookOutcome Run(std::string_view script, int phones = 2, absl::Duration deadline = absl::Seconds(60)) {
    return RunFile(hooks_.Write("hook", script), phones, deadline);
  }
  HookOutcome RunFile(const std::string& path, int phones, absl::Duration deadline) {
    std::vector<HandedPhone> handed;
    for (int i = 1; i <= phones; ++i) handed.push_back(Handed(i));
    absl::StatusOr<HookOutcome> outcome =
        RunHook({.name = "hook", .path = path, .deadline = deadline}, "default", 7, handed, interrupt_.get());
    EXPECT_OK(outcome);
    return outcome.value_or(HookOutcome());
  }
  std::string Content(const std::string& name) const {
    std::ifstream file(hooks_.path() / name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // Whether the process, whose number the file has, is gone. Its parent may not have taken its status yet.
  bool IsGone(const std::string& pid_file) const {
    const std::string pid = Content(pid_file);
    EXPECT_NE(pid, "") << pid_file;
    for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end;) {
      std::ifstream file("/proc/" + std::string(absl::StripAsciiWhitespace(pid)) + "/stat");
      std::string line;
      if (!std::getline(file, line) || line.find(") Z ") != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  std::string In(const std::string& name) const { return (hooks_.path() / name).string(); }

  const HookFolder hooks_;
  const UniqueFd interrupt_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

TEST_F(HookRunTest, ItReadsPhonesAndAnswers) {
  const HookOutcome outcome = Run(
      "#!/bin/sh\n"
      "while IFS='\t' read -r device model site address agent; do\n"
      "  case $device in *2) echo \"$device\tfailed\tno such phone\";; *) echo \"$device\tok\t$model $site $address "
      "$agent\";; esac\n"
      "done\n",
      3);
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre("SEP000000000001 ok: 8841 Berlin 192.0.2.1 Cisco-CP8841/12.8",
                                                        "SEP000000000002 failed: no such phone",
                                                        "SEP000000000003 ok: 8841 Berlin 192.0.2.1 Cisco-CP8841/12.8"));
  EXPECT_EQ(outcome.ending, "");
  EXPECT_FALSE(outcome.is_interrupted);
  EXPECT_THAT(outcome.errors, IsEmpty());
}

// What the hook can see of this process: its standard descriptors, which are a file and two pipes, and no variables.
TEST_F(HookRunTest, NothingOfItldLeaksIntoIt) {
  const std::string secret = In("key");
  std::ofstream(secret) << "secret";
  // One as ours are, and one that a library has left open for children.
  const UniqueFd closed(open(secret.c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd inherited(open(secret.c_str(), O_RDONLY));
  ASSERT_TRUE(closed.valid() && inherited.valid());
  setenv("TRUSTLINE_TEST_SECRET", "hunter2", 1);
  const HookOutcome outcome =
      Run("#!/usr/bin/python3\n"
          "import os, signal, sys\n"
          "fds = sorted(os.listdir('/proc/self/fd'), key=int)\n"
          "for fd in fds:\n"
          "    try: print(fd, os.readlink('/proc/self/fd/' + fd), file=sys.stderr)\n"
          "    except FileNotFoundError: pass\n"  // the one that lists them
          "for name, value in os.environ.items(): print(name + '=' + value, file=sys.stderr)\n"
          "print('cwd=' + os.getcwd(), 'group=%s' % (os.getpgid(0) == os.getpid()), file=sys.stderr)\n");
  unsetenv("TRUSTLINE_TEST_SECRET");
  std::vector<std::string> lines = outcome.errors;
  ASSERT_THAT(lines, SizeIs(testing::Ge(5)));
  EXPECT_THAT(lines[0], HasSubstr("memfd"));
  EXPECT_THAT(lines[1], HasSubstr("1 pipe:"));
  EXPECT_THAT(lines[2], HasSubstr("2 pipe:"));
  EXPECT_THAT(lines, Each(AllOf(Not(HasSubstr(secret)), Not(HasSubstr("hunter2")), Not(HasSubstr("socket:")))));
  EXPECT_THAT(
      std::vector<std::string>(lines.begin() + 3, lines.end()),
      testing::UnorderedElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                                    "TRUSTLINE_CLUSTER=default", "TRUSTLINE_RESET=7", "cwd=/ group=True"));
}

TEST_F(HookRunTest, SilenceIsAFailure) {
  EXPECT_THAT(AnswerTexts(Run("#!/bin/sh\nexit 0\n").answers),
              ElementsAre("SEP000000000001 failed: the hook did not answer for it",
                          "SEP000000000002 failed: the hook did not answer for it"));
  const HookOutcome failed = Run("#!/bin/sh\necho 'SEP000000000001\tok\tdone'\necho oops >&2\nexit 3\n");
  EXPECT_THAT(AnswerTexts(failed.answers),
              ElementsAre("SEP000000000001 ok: done",
                          "SEP000000000002 failed: the hook did not answer for it: it ended with status 3"));
  EXPECT_EQ(failed.ending, "ended with status 3");
  EXPECT_THAT(failed.errors, ElementsAre("oops"));
  EXPECT_THAT(Run("#!/bin/sh\nkill -9 $$\n").answers.front().words, HasSubstr("was ended by signal 9"));
  // The last answer lacks its line end.
  EXPECT_EQ(AnswerText(Run("#!/bin/sh\nprintf 'SEP000000000001\\tok\\tdone'\n").answers.front()),
            "SEP000000000001 ok: done");
}

TEST_F(HookRunTest, AtItsDeadlineItIsKilledWithItsChildren) {
  const absl::Time begin = absl::Now();
  const HookOutcome outcome = Run(fmt::format("#!/bin/sh\n"
                                              "sleep 1000 & echo $! > {}\n"
                                              "echo $$ > {}\n"
                                              "echo 'SEP000000000001\tok\tdone'\n"
                                              "wait\n",
                                              In("child"), In("hook.pid")),
                                  2, absl::Seconds(2));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
  EXPECT_THAT(AnswerTexts(outcome.answers),
              ElementsAre("SEP000000000001 ok: done",
                          "SEP000000000002 failed: the hook did not answer for it: it did not end within 2s and was "
                          "killed"));
  EXPECT_FALSE(outcome.is_interrupted);
  EXPECT_TRUE(IsGone("child"));
  EXPECT_TRUE(IsGone("hook.pid"));
}

TEST_F(HookRunTest, WhatItLeavesBehindIsKilledAndNotWaitedFor) {
  const absl::Time begin = absl::Now();
  // The child holds the output open.
  const HookOutcome outcome = Run(fmt::format("#!/bin/sh\nsleep 1000 & echo $! > {}\n"
                                              "echo 'SEP000000000001\tok\tdone'\n",
                                              In("child")),
                                  1, absl::Minutes(5));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(60));
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre("SEP000000000001 ok: done"));
  EXPECT_TRUE(IsGone("child"));
  // One that has left the group lives on, and writes: nobody reads that.
  const HookOutcome left = Run(fmt::format("#!/bin/sh\nsetsid yes & echo $! > {}\n"
                                           "echo 'SEP000000000001\tok\tdone'\n",
                                           In("leaver")),
                               1, absl::Minutes(5));
  EXPECT_THAT(left.answers, SizeIs(1));
  kill(std::stoi(Content("leaver")), SIGKILL);
}

TEST_F(HookRunTest, InterruptedItLeavesTheRestOpen) {
  // It interrupts its own run once its answer is written: by a number that this process has read from it.
  std::thread interrupter;
  const std::string ready = In("ready");
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  interrupter = std::thread([&] {
    std::ifstream file(ready);
    std::string line;
    std::getline(file, line);
    eventfd_write(interrupt_.get(), 1);
  });
  const HookOutcome outcome = Run(fmt::format("#!/bin/sh\necho 'SEP000000000001\tok\tdone'\necho > {}\n"
                                              "exec sleep 1000\n",
                                              ready),
                                  2, absl::Minutes(5));
  interrupter.join();
  EXPECT_TRUE(outcome.is_interrupted);
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre("SEP000000000001 ok: done"));
}

TEST_F(HookRunTest, FloodsAreBounded) {
  const HookOutcome outcome =
      Run("#!/bin/sh\n"
          "head -c 3000000 /dev/zero | tr '\\0' x\n"  // a line of 3 MB
          "echo\n"
          "i=0; while [ $i -lt 1000 ]; do echo \"complaint $i\" >&2; i=$((i+1)); done\n"
          "yes nonsense | head -n 100000\n"
          "echo 'SEP000000000001\tok\tdone'\n",
          1);
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre("SEP000000000001 ok: done"));
  EXPECT_EQ(outcome.ignored_lines, 100'001);
  EXPECT_LT(outcome.first_ignored_line.size(), 100u);
  EXPECT_THAT(outcome.errors, SizeIs(kMostHookErrors));
  EXPECT_EQ(outcome.errors.front(), "complaint 0");
  EXPECT_EQ(outcome.more_errors, 1000 - static_cast<int64_t>(kMostHookErrors));
}

TEST_F(HookRunTest, ALargeWaveNeedNotBeRead) {
  // More than a pipe holds, in and out; the hook reads nothing before it has written everything.
  const HookOutcome read = Run("#!/bin/sh\nexec awk -F'\\t' '{ print $1 \"\\tok\\tdone\" }'\n", kLargestResetWave);
  EXPECT_THAT(read.answers, SizeIs(kLargestResetWave));
  EXPECT_THAT(AnswerTexts(read.answers), Each(EndsWith(" ok: done")));
  EXPECT_THAT(Run("#!/bin/sh\nyes | head -n 200000\n", kLargestResetWave).answers, SizeIs(kLargestResetWave));
}

// As in a new process, SIGPIPE ends it, whatever itld does with that signal.
TEST_F(HookRunTest, SignalsAreAsInANewProcess) {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &before);
  const HookOutcome outcome = Run("#!/bin/sh\nkill -PIPE $$\necho survived >&2\n");
  sigaction(SIGPIPE, &before, nullptr);
  EXPECT_THAT(outcome.ending, HasSubstr("was ended by signal 13"));
  EXPECT_THAT(outcome.errors, IsEmpty());
}

TEST_F(HookRunTest, WhatCannotBeExecutedIsToldAsSuch) {
  const auto run = [&](const std::string& path) {
    return RunHook({.name = "hook", .path = path}, "default", 7, {Handed(1)}, interrupt_.get()).status();
  };
  EXPECT_THAT(run(In("missing")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("missing")));
  EXPECT_THAT(run(hooks_.Write("interpreter", "#!/usr/bin/nothing-here\n")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("interpreter")));
  std::ofstream(In("plain")) << "#!/bin/sh\n";
  EXPECT_THAT(run(In("plain")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("plain")));
}

}  // namespace
}  // namespace trustline
