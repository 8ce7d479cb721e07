#include "cli/supervisor/own_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "cli/supervisor/child_process.h"
#include "gtest/gtest.h"

namespace trustline {
namespace {

// Each test prepares a process of its own: what is changed cannot be changed back.
int StatusOfChild(const std::function<bool()>& check) {
  const pid_t pid = fork();
  if (pid == 0) _exit(check() ? 0 : 1);
  int status = -1;
  waitpid(pid, &status, 0);
  return status;
}

TEST(OwnProcessTest, ChildrenAreConnectedWhenStandardDescriptorsWereClosed) {
  EXPECT_EQ(StatusOfChild([] {
              for (const int fd : {0, 1, 2}) close(fd);
              if (!PrepareOwnProcess().ok()) return false;
              const auto finished =
                  RunToEnd({.program = "/bin/sh", .arguments = {"-c", "echo out; echo err >&2; cat"}, .user = {}},
                           absl::Seconds(10));
              return finished.ok() && finished->wait_status == 0 && finished->output == "out\nerr\n";
            }),
            0);
}

TEST(OwnProcessTest, WritingToNobodyIsNoEnd) {
  EXPECT_EQ(StatusOfChild([] {
              int ends[2];
              if (pipe(ends) != 0 || !PrepareOwnProcess().ok()) return false;
              close(ends[0]);
              return write(ends[1], "x", 1) == -1 && errno == EPIPE;
            }),
            0);
}

TEST(OwnProcessTest, NeitherItNorItsChildrenDumpTheirMemory) {
  EXPECT_EQ(StatusOfChild([] {
              if (!PrepareOwnProcess().ok() || prctl(PR_GET_DUMPABLE) != 0) return false;
              const auto finished = RunToEnd(
                  {.program = "/bin/sh", .arguments = {"-c", "ulimit -Sc; ulimit -Hc"}, .user = {}}, absl::Seconds(10));
              return finished.ok() && finished->output == "0\n0\n";
            }),
            0);
}

}  // namespace
}  // namespace trustline
