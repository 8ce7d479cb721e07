// Runs the real `trustline up` with the real daemons and PostgreSQL: starts, kills, restarts, refusals.
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>

#include "absl/time/clock.h"
#include "cli/supervisor/child_process.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/pidfd.h"
#include "cli/supervisor/preconditions.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "cli/supervisor/settings.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kStartTime = absl::Seconds(120);
constexpr const char* kChildren[] = {"postgres", "itld", "tvsd"};

// An offset with which all ports are free now.
int FreePortOffset() {
  static std::mt19937 random(std::random_device{}());
  for (;;) {
    const int offset = static_cast<int>(random() % 40'000) + 10'000;
    const auto ports = Ports::WithOffset(offset);
    if (ports.ok() && CheckPortsFree(Listeners(Settings(), *ports, true)).ok()) return offset;
  }
}

// Whoever starts the system: root (then everything gets a user of its own), or somebody else.
enum class Starter { kThisUser, kNobody };

class UpTest : public ::testing::TestWithParam<Starter> {
 protected:
  void SetUp() override {
    // The system users must be able to reach it.
    chmod(directory_.path().c_str(), 0755);
    bin_ = TRUSTLINE_BIN_DIR;
    if (GetParam() == Starter::kNobody && geteuid() == 0) BecomeNobody();
  }

  // Programs and data where that user can reach them, wherever this build lies.
  void BecomeNobody() {
    const passwd* nobody = getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    user_ = SystemUser{.name = "nobody", .uid = nobody->pw_uid, .gid = nobody->pw_gid, .shared_group = nobody->pw_gid};
    ASSERT_EQ(chown(directory_.path().c_str(), user_->uid, user_->gid), 0);
    const fs::path installed = directory_.path() / "bin";
    fs::create_directories(installed);
    for (const char* program : {"trustline", "tvsd", "itld", "trustctl"}) {
      fs::copy_file(fs::path(TRUSTLINE_BIN_DIR) / program, installed / program);
    }
    fs::create_directories(directory_.path() / "share" / "trustline");
    fs::copy(fs::path(TRUSTLINE_SOURCE_DIR) / "migrations", directory_.path() / "share" / "trustline" / "migrations");
    bin_ = installed;
  }

  ChildCommand Command(const std::string& program, std::vector<std::string> arguments) const {
    return {.program = bin_ + "/" + program, .arguments = std::move(arguments), .user = user_};
  }
  std::vector<std::string> UpArguments() const {
    return {"up", "--data", data_, "--port-offset", std::to_string(offset_), "--listen", "127.0.0.1"};
  }

  // Starts the system and reads its output until the line, or until it ends. Returns whether the line came.
  bool StartUntil(const std::string& line, std::vector<std::string> arguments = {}) {
    if (arguments.empty()) arguments = UpArguments();
    auto child = ChildProcess::Start(Command("trustline", arguments));
    if (!child.ok()) {
      ADD_FAILURE() << child.status();
      return false;
    }
    up_ = *std::move(child);
    output_.clear();
    const absl::Time deadline = absl::Now() + kStartTime;
    while (absl::Now() < deadline) {
      ReadOutput(absl::Milliseconds(200));
      if (("\n" + output_).find("\n" + line) != std::string::npos) return true;
      if (up_->TryWait()) {
        ReadOutput(absl::ZeroDuration());
        return false;
      }
    }
    return false;
  }
  void ReadOutput(absl::Duration wait) {
    pollfd event{.fd = up_->output_fd(), .events = POLLIN, .revents = 0};
    poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
    output_ += up_->ReadOutput();
  }

  // The status with which the running system ends.
  std::string WaitForEnd() {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (absl::Now() < deadline) {
      ReadOutput(absl::Milliseconds(100));
      if (const auto status = up_->TryWait()) return WaitStatusText(*status);
    }
    return "did not end";
  }
  std::string Stop() {
    up_->Signal(SIGTERM);
    return WaitForEnd();
  }

  // A start that must be refused: its one line.
  std::string Refusal(std::vector<std::string> arguments = {}) {
    EXPECT_FALSE(StartUntil("ready\n", std::move(arguments)));
    EXPECT_EQ(WaitForEnd(), "ended with status 1") << output_;
    return output_;
  }

  ProcessRecord Record(const std::string& name) const {
    return ProcessRecord::Read(DataPaths(data_).pid(name)).value_or(ProcessRecord{});
  }
  // Watches the children that run now.
  std::vector<UniqueFd> WatchChildren() const {
    std::vector<UniqueFd> watched;
    for (const char* name : kChildren) {
      watched.emplace_back(OpenPidfd(Record(name).pid));
      EXPECT_TRUE(watched.back().valid()) << name << " does not run";
    }
    return watched;
  }
  static void ExpectEnded(const std::vector<UniqueFd>& watched) {
    for (size_t i = 0; i < watched.size(); ++i) {
      pollfd event{.fd = watched[i].get(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(poll(&event, 1, 30'000), 1) << kChildren[i] << " lives on";
    }
  }

  bool IsReady(uint16_t metrics_port) const {
    const auto answer =
        HttpGet("127.0.0.1", static_cast<uint16_t>(metrics_port + offset_), "/health/ready", std::chrono::seconds(2));
    return answer.ok() && answer->status == 200;
  }
  // The system's own word for its data: what `trustctl` lists.
  std::string Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--context", data_ + "/admin/context.toml"});
    const auto finished = RunToEnd(Command("trustctl", std::move(arguments)), absl::Seconds(30));
    if (!finished.ok()) return finished.status().ToString();
    EXPECT_EQ(WaitStatusText(finished->wait_status), "ended with status 0") << finished->output;
    return finished->output;
  }

  TemporaryDirectory directory_;
  std::string bin_;
  std::string data_ = directory_.path() / "data";
  int offset_ = FreePortOffset();
  std::optional<SystemUser> user_;
  std::optional<ChildProcess> up_;
  std::string output_;
};

INSTANTIATE_TEST_SUITE_P(Starters, UpTest, ::testing::Values(Starter::kThisUser, Starter::kNobody),
                         [](const auto& info) { return info.param == Starter::kThisUser ? "ThisUser" : "Nobody"; });

TEST_P(UpTest, StartsStopsAndKeepsItsData) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const std::string nodes = Ask({"node", "list"});
  EXPECT_THAT(nodes, HasSubstr("trustline:default/tvsd/node1"));
  const std::vector<UniqueFd> children = WatchChildren();
  EXPECT_EQ(Stop(), "ended with status 0") << output_;
  ExpectEnded(children);
  EXPECT_TRUE(fs::is_empty(DataPaths(data_).run()));

  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Ask({"node", "list"}), nodes);

  // A second supervisor keeps off.
  const auto second = RunToEnd(Command("trustline", UpArguments()), kStartTime);
  ASSERT_OK(second);
  EXPECT_EQ(WaitStatusText(second->wait_status), "ended with status 1");
  EXPECT_THAT(second->output,
              HasSubstr(fmt::format("is in use: another trustline up runs on it (process {})", up_->pid())));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, WhoRunsWhat) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const bool own_users = geteuid() == 0 && !user_;
  for (const char* name : kChildren) {
    struct stat status;
    ASSERT_EQ(stat(fmt::format("/proc/{}", Record(name).pid).c_str(), &status), 0);
    const passwd* expected = own_users ? getpwnam(fmt::format("trustline-{}", name).c_str()) : nullptr;
    EXPECT_EQ(status.st_uid, own_users ? expected->pw_uid : user_ ? user_->uid : geteuid()) << name;
  }
  if (!own_users) {
    EXPECT_THAT(output_, HasSubstr("everything runs as"));
  }
  // No secret is open to anybody but its owner.
  for (const auto& entry : fs::recursive_directory_iterator(data_)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory() || (!name.ends_with(".key") && !name.ends_with("pgpass") && name != "passphrase"))
      continue;
    EXPECT_EQ(entry.status().permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none)
        << entry.path();
  }
  EXPECT_EQ(Stop(), "ended with status 0");
}

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
  for (const char* name : {"itld", "tvsd"}) kill(Record(name).pid, SIGSTOP);
  up_->Signal(SIGKILL);
  EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, HasSubstr("ended tvsd, which an earlier start had left running"));
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
      back = after.pid > 0 && !(after == before) && IsReady(9541) && IsReady(9542);
    }
    EXPECT_TRUE(back) << name << "\n" << output_;
    EXPECT_THAT(output_, HasSubstr(fmt::format("{} was ended by signal 9", name)));
  }
  EXPECT_THAT(Ask({"node", "list"}), HasSubstr("node1"));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, AFirstStartThatIsKilledAnywhereIsTakenUpAgain) {
  for (const char* moment : {"creating the database", "starting PostgreSQL", "applying migration",
                             "making the identity", "starting itld", "joining this machine", "starting tvsd"}) {
    ASSERT_TRUE(StartUntil(moment)) << moment << "\n" << output_;
    up_->Signal(SIGKILL);
    EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  }
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(Ask({"node", "list"}), HasSubstr("trustline:default/tvsd/node1"));
  EXPECT_EQ(Stop(), "ended with status 0");
  for (const auto& entry : fs::directory_iterator(data_)) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".new"))) << "left over";
  }
}

TEST_P(UpTest, AStartThatIsStoppedEndsCleanly) {
  ASSERT_TRUE(StartUntil("starting itld")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0") << output_;
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, RefusalsMakeNothing) {
  // A port that somebody holds.
  const Ports ports = *Ports::WithOffset(offset_);
  ASSERT_OK_AND_ASSIGN(auto holder, HttpServer::Start({.address = "127.0.0.1", .port = ports.itld_grpc},
                                                      [](std::string_view) { return HttpResponse(); }));
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(fmt::format("port {} for gRPC of itld is taken", ports.itld_grpc)),
                               HasSubstr("ss -ltnp")));
  EXPECT_FALSE(fs::exists(data_));
  holder->Stop();

  std::vector<std::string> without_postgres = UpArguments();
  without_postgres.insert(without_postgres.end(), {"--postgres-bin-dir", "/nonexistent"});
  EXPECT_THAT(Refusal(without_postgres), HasSubstr("there is no PostgreSQL in /nonexistent"));
  EXPECT_FALSE(fs::exists(data_));

  std::vector<std::string> without_daemons = UpArguments();
  without_daemons.insert(without_daemons.end(), {"--bin-dir", "/nonexistent", "--migrations", "/nonexistent"});
  EXPECT_THAT(Refusal(without_daemons), HasSubstr("/nonexistent/tvsd is missing"));
  EXPECT_FALSE(fs::exists(data_));
}

TEST_P(UpTest, RefusalsChangeNothing) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
  const DataPaths paths(data_);

  const std::string key = paths.tvsd() + "/tvs.key";
  chmod(key.c_str(), 0644);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(key), HasSubstr("chmod 600")));
  chmod(key.c_str(), 0000);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(key), HasSubstr("not readable")));
  chmod(key.c_str(), 0600);

  // As a newer version would have left it; the file itself belongs to whoever starts.
  ASSERT_OK_AND_ASSIGN(const std::string version, ReadSmallFile(paths.version()));
  const auto write_version = [&](const std::string& text) {
    ASSERT_OK(WriteFileWhole(paths.version(), text, 0644));
    if (user_) ASSERT_EQ(chown(paths.version().c_str(), user_->uid, user_->gid), 0);
  };
  write_version("format 99\nprogram 7.0.0\n");
  EXPECT_THAT(Refusal(), HasSubstr("was written by Trustline 7.0.0"));
  write_version(version);

  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, AnotherNodeJoins) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const Ports ports = *Ports::WithOffset(offset_);
  const std::string said = Ask({"node", "token", "node2"});
  const size_t last_line = said.rfind("tl1-");
  ASSERT_NE(last_line, std::string::npos) << said;
  const std::string token = said.substr(last_line, said.find('\n', last_line) - last_line);
  // The connection that this node's own tvsd has; the other one has the same rights.
  ASSERT_OK_AND_ASSIGN(const std::string tvsd_toml, ReadSmallFile(DataPaths(data_).tvsd() + "/tvsd.toml"));
  const size_t start = tvsd_toml.find("connection = \"") + 14;
  const std::string connection = tvsd_toml.substr(start, tvsd_toml.find('"', start) - start);

  const std::string other = directory_.path() / "other";
  const auto join = [&](const std::string& with_token) {
    return RunToEnd(Command("trustline", {"join", "--server", HostPort("127.0.0.1", ports.itld_grpc), "--token",
                                          with_token, "--name", "node2", "--data", other, "--database", connection}),
                    absl::Seconds(60));
  };
  // A token of another authority: nothing is told to that server, nothing is left.
  std::string foreign = token;
  foreign[10] = foreign[10] == 'A' ? 'B' : 'A';
  ASSERT_OK_AND_ASSIGN(const FinishedProcess refused, join(foreign));
  EXPECT_EQ(WaitStatusText(refused.wait_status), "ended with status 1") << refused.output;
  EXPECT_FALSE(fs::exists(other));

  ASSERT_OK_AND_ASSIGN(const FinishedProcess joined, join(token));
  EXPECT_EQ(WaitStatusText(joined.wait_status), "ended with status 0") << joined.output;
  EXPECT_THAT(joined.output, HasSubstr("trustline up --data " + other));
  EXPECT_THAT(Ask({"node", "list"}), HasSubstr("trustline:default/tvsd/node2"));

  ASSERT_OK_AND_ASSIGN(const FinishedProcess again, join(token));
  EXPECT_THAT(again.output, HasSubstr("is a data directory already"));

  // The second node runs tvsd alone.
  const int other_offset = FreePortOffset();
  std::optional<ChildProcess> first = std::exchange(up_, std::nullopt);
  ASSERT_TRUE(StartUntil(
      "ready\n", {"up", "--data", other, "--port-offset", std::to_string(other_offset), "--listen", "127.0.0.1"}))
      << output_;
  EXPECT_THAT(output_, Not(HasSubstr("PostgreSQL")));
  EXPECT_EQ(Stop(), "ended with status 0");
  up_ = std::move(first);
  EXPECT_EQ(Stop(), "ended with status 0");

  // A used token, once the directory is gone.
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  fs::remove_all(other);
  ASSERT_OK_AND_ASSIGN(const FinishedProcess used, join(token));
  EXPECT_EQ(WaitStatusText(used.wait_status), "ended with status 1");
  EXPECT_THAT(used.output, HasSubstr("token"));
  EXPECT_FALSE(fs::exists(other));
  EXPECT_FALSE(fs::exists(other + ".joining"));
  EXPECT_EQ(Stop(), "ended with status 0");
}

}  // namespace
}  // namespace trustline
