#include "common/service/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "common/net/http_client.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const DaemonDescription kDescription = {
    .name = "tvsd", .summary = "A test.", .example = "  [node]\n", .grpc_port = 1, .metrics_port = 2};

class DaemonTest : public testing::Test {
 protected:
  std::string WriteConfig(const std::string& more = "") {
    return folder_.WriteFile("tvsd.toml",
                             "[node]\nname = \"node1\"\n[database]\nconnection = \"host=/nowhere\"\n[identity]\n"
                             "certificate = \"c\"\nkey = \"k\"\nauthority = \"a\"\n[metrics]\nport = 0\n" +
                                 more);
  }

  // Runs the daemon; its stderr and stdout are kept.
  int Run(std::vector<std::string> arguments, const DaemonBuilder& build) {
    arguments.insert(arguments.begin(), "tvsd");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    const int status = RunDaemon(static_cast<int>(argv.size()), argv.data(), kDescription, build);
    errors_ = testing::internal::GetCapturedStderr();
    output_ = testing::internal::GetCapturedStdout();
    return status;
  }

  TemporaryDirectory folder_;
  std::string errors_;
  std::string output_;
};

// A port that was free a moment ago: the daemon tells its own only in the log.
uint16_t FreePort() {
  absl::StatusOr<std::unique_ptr<HttpServer>> server =
      HttpServer::Start({}, [](std::string_view) { return HttpResponse(); });
  return server.ok() ? (*server)->port() : 0;
}

struct Record {
  int started = 0;
  int stopped = 0;
};

class RecordingService final : public DaemonService {
 public:
  RecordingService(Record& record, std::function<absl::Status()> start) : record_(record), start_(std::move(start)) {}
  absl::Status Start() override {
    ++record_.started;
    return start_();
  }
  void Stop() override { ++record_.stopped; }

 private:
  Record& record_;
  std::function<absl::Status()> start_;
};

DaemonBuilder Recording(Record& record, std::function<absl::Status(DaemonContext&)> start) {
  return [&record, start = std::move(start)](DaemonContext& context) -> absl::StatusOr<std::unique_ptr<DaemonService>> {
    return std::make_unique<RecordingService>(record, [&context, start] { return start(context); });
  };
}

TEST_F(DaemonTest, CheckConfigBuildsAndStartsNothing) {
  Record record;
  const std::string path = WriteConfig();
  EXPECT_EQ(
      Run({"--config", path, "--check-config"}, Recording(record, [](DaemonContext&) { return absl::OkStatus(); })), 0);
  EXPECT_THAT(output_, HasSubstr("the configuration is good"));
  EXPECT_EQ(record.started, 0);
}

TEST_F(DaemonTest, ErrorsAreOneLineAndStatusOne) {
  Record record;
  const auto build = Recording(record, [](DaemonContext&) { return Unavailable("no\nluck"); });
  EXPECT_EQ(Run({}, build), 1);
  EXPECT_EQ(errors_, "tvsd: --config is required (see tvsd --help)\n");
  EXPECT_EQ(Run({"--config", "/absent.toml"}, build), 1);
  EXPECT_EQ(errors_, "tvsd: cannot read /absent.toml: No such file or directory\n");
  const std::string path = WriteConfig("[wrong]\n");
  EXPECT_EQ(Run({"--config", path}, build), 1);
  EXPECT_EQ(errors_, fmt::format("tvsd: {}:11: unknown key 'wrong'\n", path));
  EXPECT_EQ(record.started, 0);
  EXPECT_EQ(Run({"--config", WriteConfig()}, build), 1);
  EXPECT_EQ(errors_, "tvsd: no luck\n");
  EXPECT_EQ(record.started, 1);
  EXPECT_EQ(record.stopped, 1);
}

TEST_F(DaemonTest, HelpAndVersion) {
  const DaemonBuilder build = [](DaemonContext&) { return Internal("not to be built"); };
  EXPECT_EQ(Run({"--help"}, build), 0);
  EXPECT_THAT(output_, AllOf(HasSubstr("--check-config"), HasSubstr("tvsd --config /etc/trustline/tvsd.toml")));
  EXPECT_EQ(Run({"--version"}, build), 0);
  EXPECT_THAT(output_, HasSubstr("tvsd " TRUSTLINE_VERSION));
}

TEST_F(DaemonTest, AnswersHealthAndMetricsAndStopsOnSigterm) {
  Record record;
  const uint16_t port = FreePort();
  std::thread client;
  std::vector<int> answers;
  std::string metrics;
  const std::string path = folder_.WriteFile(
      "tvsd.toml", fmt::format("[node]\nname = \"node1\"\n[database]\nconnection = \"host=/nowhere\"\n[identity]\n"
                               "certificate = \"c\"\nkey = \"k\"\nauthority = \"a\"\n[metrics]\nport = {}\n",
                               port));
  const int status =
      Run({"--config", path}, Recording(record, [&](DaemonContext& context) {
            context.health.AddReadinessCheck("database", [] { return Unavailable("does not answer"); });
            auto get = [port](const char* what) { return HttpGet("127.0.0.1", port, what, std::chrono::seconds(5)); };
            absl::StatusOr<HttpResponse> starting = get("/health/startup");
            answers.push_back(starting.ok() ? starting->status : 0);
            client = std::thread([&, get, &health = context.health] {
              while (!health.started()) std::this_thread::yield();
              for (const char* what : {"/health/startup", "/health/live", "/health/ready", "/absent"}) {
                absl::StatusOr<HttpResponse> answer = get(what);
                answers.push_back(answer.ok() ? answer->status : 0);
              }
              absl::StatusOr<HttpResponse> read = get("/metrics");
              if (read.ok()) metrics = read->body;
              kill(getpid(), SIGTERM);
            });
            return absl::OkStatus();
          }));
  client.join();
  EXPECT_EQ(status, 0) << errors_;
  EXPECT_THAT(answers, testing::ElementsAre(503, 200, 200, 503, 404));
  EXPECT_THAT(metrics, HasSubstr("process_open_fds"));
  EXPECT_THAT(errors_, AllOf(HasSubstr("\"id\":\"DAEMON_STARTED\""), HasSubstr("\"id\":\"DAEMON_STOPPED\"")));
  EXPECT_EQ(record.stopped, 1);
}

TEST_F(DaemonTest, LeavesNoCoreDumps) {
  Record record;
  rlimit limit = {1, 1};
  Run({"--config", WriteConfig()}, Recording(record, [&limit](DaemonContext&) {
        getrlimit(RLIMIT_CORE, &limit);
        return Internal("enough");
      }));
  EXPECT_EQ(record.started, 1);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
}

TEST(HealthTest, TellsTheFirstFailureAndKeepsAnswersForASecond) {
  Health health;
  int asked = 0;
  absl::Status answer;
  health.AddReadinessCheck("verdict", [&] {
    ++asked;
    return answer;
  });
  EXPECT_THAT(health.Ready(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("starting")));
  EXPECT_EQ(asked, 0);
  health.SetStarted();
  EXPECT_OK(health.Ready());
  EXPECT_OK(health.Ready());
  EXPECT_EQ(asked, 1);
  answer = Unavailable("no verdict");
  health.AddReadinessCheck("query", [] { return Internal("not reached"); });
  EXPECT_THAT(health.Ready(), StatusIs(absl::StatusCode::kUnavailable, "verdict: no verdict"));
  health.ClearChecks();
  EXPECT_THAT(health.Ready(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
}

}  // namespace
}  // namespace trustline
