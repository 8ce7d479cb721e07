// Processes of a running system are killed; nothing is lost.
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "cli/supervisor/up_testing.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

INSTANTIATE_TEST_SUITE_P(Starters, UpTest, ::testing::Values(Starter::kThisUser, Starter::kNobody), StarterName);

TEST_P(UpTest, AKilledSupervisorTakesItsChildrenAlongAndLosesNothing) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const std::string entries = Ask({"trust", "list"});
  const std::vector<UniqueFd> children = WatchChildren();
  up_->Signal(SIGKILL);
  EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  ExpectEnded(children);
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Ask({"trust", "list"}), entries);
  EXPECT_EQ(Stop(), "ended with status 0");
}

// The kernel's death signal ends every child of a killed supervisor, even a frozen one (an orphaned process group is
// woken). What escapes it is known by its pid file alone: these processes are recorded there and had no supervisor.
TEST_P(UpTest, OrphansOfAKilledSupervisorAreEnded) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const std::vector<UniqueFd> children = WatchChildren();
  up_->Signal(SIGKILL);
  EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  ExpectEnded(children);

  std::vector<ChildProcess> orphans;
  for (const char* name : kChildren) {
    auto orphan = ChildProcess::Start({.program = "/bin/sleep", .arguments = {"600"}, .user = user_});
    ASSERT_OK(orphan);
    const auto record = ProcessRecord::Of(orphan->pid());
    ASSERT_OK(record);
    ASSERT_OK(record->Write(DataPaths(data_).pid(name)));
    orphans.push_back(*std::move(orphan));
  }
  const auto frozen = std::find(std::begin(kChildren), std::end(kChildren), std::string_view("tvsd"));
  orphans[static_cast<size_t>(frozen - std::begin(kChildren))].Signal(SIGSTOP);

  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  for (size_t i = 0; i < orphans.size(); ++i) {
    const std::string name = kChildren[i];
    EXPECT_THAT(output_, HasSubstr(fmt::format("ended {}, which an earlier start had left running", name)));
    const std::optional<int> status = orphans[i].TryWait();
    ASSERT_TRUE(status) << name << " lives on";
    const int signal = name == "postgres" ? SIGINT : name == "tvsd" ? SIGKILL : SIGTERM;
    EXPECT_EQ(WTERMSIG(*status), signal) << name << " " << WaitStatusText(*status);
  }
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, EachChildThatIsKilledComesBack) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  for (const char* name : kChildren) {
    const ProcessRecord before = Record(name);
    ASSERT_EQ(kill(before.pid, SIGKILL), 0) << name;
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    bool back = false;
    while (!back && absl::Now() < deadline) {
      ReadOutput(absl::Milliseconds(100));
      const ProcessRecord after = Record(name);
      back = after.pid > 0 && !(after == before) && IsReady(9541) && IsReady(9542) && IsReady(9543) && IsReady(9544) &&
             IsReady(9545);
    }
    EXPECT_TRUE(back) << name << "\n" << output_;
    EXPECT_THAT(output_, HasSubstr(fmt::format("{} was ended by signal 9", name)));
  }
  EXPECT_THAT(Ask({"node", "list"}), HasSubstr("node1"));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, AFirstStartThatIsKilledAnywhereIsTakenUpAgain) {
  for (const char* moment :
       {"creating the database", "starting PostgreSQL", "applying migration", "making the identity", "starting itld",
        "joining this machine", "approving node1", "starting tvsd", "starting cad", "making the LSC authority",
        "making the CAPF certificate", "making the certificate of provisiond", "making the first trust list",
        "starting capfd", "starting provisiond"}) {
    ASSERT_TRUE(StartUntil(moment)) << moment << "\n" << output_;
    up_->Signal(SIGKILL);
    EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  }
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(Ask({"node", "list"}), HasSubstr("trustline:default/tvsd/node1"));
  EXPECT_THAT(Ask({"ca", "list"}), HasSubstr("active"));
  // One and no more, whatever was left half-made.
  const std::string trusted = Ask({"trust", "list", "--role", "CAPF"});
  const size_t capf = trusted.find("CN=CAPF-");
  EXPECT_NE(capf, std::string::npos) << trusted;
  EXPECT_EQ(trusted.find("CN=CAPF-", capf + 1), std::string::npos) << trusted;
  // A start that was killed before it had approved its node left that to the next one.
  EXPECT_THAT(Ask({"--output", "json", "node", "list"}),
              HasSubstr(R"("approved_by":"trustline:default/person/admin")"));
  EXPECT_THAT(Ask({"--output", "json", "trust", "list", "--role", "TVS"}), HasSubstr(R"("listed":true)"));
  EXPECT_EQ(Stop(), "ended with status 0");
  for (const auto& entry : fs::directory_iterator(data_)) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".new"))) << "left over";
  }
}

}  // namespace
}  // namespace trustline
