// Processes of a running system are killed; nothing is lost.
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "cli/supervisor/up_testing.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
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

TEST_P(UpTest, OrphansOfAKilledSupervisorAreEnded) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  // Frozen, they cannot hear the death signal: only the next start can end them.
  const std::vector<UniqueFd> children = WatchChildren();
  for (const char* name : {"itld", "cad", "capfd", "tvsd"}) kill(Record(name).pid, SIGSTOP);
  up_->Signal(SIGKILL);
  EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("ended tvsd, which an earlier start had left running"),
                             HasSubstr("ended capfd, which an earlier start had left running")));
  ExpectEnded(children);
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
      back = after.pid > 0 && !(after == before) && IsReady(9541) && IsReady(9542) && IsReady(9543) && IsReady(9544);
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
        "joining this machine", "starting tvsd", "starting cad", "making the LSC authority",
        "making the CAPF certificate", "starting capfd"}) {
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
  EXPECT_EQ(Stop(), "ended with status 0");
  for (const auto& entry : fs::directory_iterator(data_)) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".new"))) << "left over";
  }
}

}  // namespace
}  // namespace trustline
