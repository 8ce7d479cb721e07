// The program itld: its configuration, its life, its readiness.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <regex>
#include <thread>

#include "common/net/http_client.h"
#include "common/rpc/rpc_testing.h"
#include "common/service/audit.h"
#include "common/service/text_file.h"
#include "itl/itl_testing.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A running itld; what it writes is read as it comes.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TRUSTLINE_BIN_DIR "/itld");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    output_fd_ = pipe_fds[0];
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_fd_);
  }

  // The first capture of `pattern` in the output; empty when the program ends before.
  std::string Await(const std::string& pattern) {
    const std::regex expression(pattern);
    std::smatch match;
    while (!std::regex_search(output_, match, expression)) {
      if (!ReadMore()) return "";
    }
    return match[1];
  }
  void Signal(int signal) { kill(pid_, signal); }
  int ExitStatus() {
    while (ReadMore()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& output() const { return output_; }

 private:
  bool ReadMore() {
    char buffer[4096];
    const ssize_t count = read(output_fd_, buffer, sizeof(buffer));
    if (count <= 0) return false;
    output_.append(buffer, static_cast<size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  int output_fd_ = -1;
  std::string output_;
};

class ItldTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(folder_.path() / "passphrase", std::filesystem::perms(0600));
    ASSERT_OK(authority_.Save(folder_.path() / "identity-authority.crt", folder_.path() / "identity-authority.key",
                              folder_.path() / "passphrase"));
    config_ = WriteConfig("");
  }
  std::string WriteConfig(std::string_view more) {
    return folder_.WriteFile("itld.toml",
                             fmt::format("[node]\nname = \"node1\"\n[database]\nconnection = \"{}\"\n"
                                         "[identity]\ncertificate = \"{}\"\nkey = \"{}\"\nauthority = \"{}\"\n"
                                         "[grpc]\nport = 0\n[metrics]\nport = 0\n"
                                         "[identity_authority]\ncertificate = \"identity-authority.crt\"\n"
                                         "key = \"identity-authority.key\"\npassphrase_file = \"passphrase\"\n"
                                         "[audit]\nseal_file = \"audit-seals\"\n{}",
                                         database_->Conninfo("trustline_itld"), identity_.files().certificate,
                                         identity_.files().key, identity_.files().authority, more));
  }
  static HttpResponse Ready(const std::string& port) {
    const auto response =
        HttpGet("127.0.0.1", static_cast<uint16_t>(std::stoi(port)), "/health/ready", std::chrono::seconds(10));
    EXPECT_OK(response);
    return response.value_or(HttpResponse{.status = 0});
  }
  static bool EventuallyReady(const std::string& port, bool ready) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while ((Ready(port).status == 200) != ready) {
      if (absl::Now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  const TemporaryDirectory folder_;
  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity identity_{authority_, "trustline:default/itld/node1"};
  std::string config_;
};

TEST_F(ItldTest, ChecksItsConfiguration) {
  Program good({"--config", config_, "--check-config"});
  EXPECT_EQ(good.ExitStatus(), 0) << good.output();
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "audit-seals"));

  const auto refused = [&](const std::string& words) {
    Program program({"--config", config_, "--check-config"});
    EXPECT_EQ(program.ExitStatus(), 1);
    EXPECT_THAT(program.output(), HasSubstr(words));
  };
  config_ = WriteConfig("sealfile = \"x\"\n");
  refused("sealfile");
  config_ = WriteConfig("");
  ASSERT_OK_AND_ASSIGN(std::string text, ReadTextFile(config_, 1024 * 1024));
  const std::string key = "passphrase_file = \"passphrase\"";
  folder_.WriteFile("itld.toml", text.replace(text.find(key), key.size(), "passphrase_credential = \"itld-keys\""));
  refused("LoadCredential=itld-keys");
  config_ = WriteConfig("");
  folder_.WriteFile("passphrase", "wrong\n");
  refused("passphrase");
  folder_.WriteFile("passphrase", "correct horse battery staple\n");
  const IdentityAuthority other = *IdentityAuthority::Create(absl::Now());
  TestIdentity stranger(other, "trustline:default/itld/node1");
  std::filesystem::copy(stranger.files().authority, folder_.path() / "identity-authority.crt",
                        std::filesystem::copy_options::overwrite_existing);
  refused("identity-authority");
}

TEST_F(ItldTest, AnIdentityOfAnotherServiceIsRefused) {
  TestIdentity tvsd(authority_, "trustline:default/tvsd/node1");
  for (const auto& [from, to] : {std::pair(tvsd.files().certificate, identity_.files().certificate),
                                 std::pair(tvsd.files().key, identity_.files().key)}) {
    std::filesystem::copy(from, to, std::filesystem::copy_options::overwrite_existing);
  }
  Program program({"--config", config_, "--check-config"});
  EXPECT_EQ(program.ExitStatus(), 1);
  EXPECT_THAT(program.output(), HasSubstr("not that of an itld"));
}

TEST_F(ItldTest, ServesUntilItIsAskedToStop) {
  RunByHand(
      "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test')");
  Program itld({"--config", config_});
  const std::string port = itld.Await(R"("RPC_LISTENING".*"port":(\d+))");
  const std::string metrics_port = itld.Await(R"("metrics_port":(\d+))");
  ASSERT_NE(metrics_port, "") << itld.output();
  EXPECT_TRUE(EventuallyReady(metrics_port, true)) << Ready(metrics_port).body;

  const TestIdentity admin(authority_, kTestActor);
  ASSERT_OK_AND_ASSIGN(const auto channel, OpenChannel("127.0.0.1:" + port, admin.files(), "itld"));
  grpc::ClientContext context;
  v1::ListResponse list;
  EXPECT_OK(ToAbsl(v1::TrustStore::NewStub(channel)->List(&context, {}, &list)));

  // The database goes and comes: nothing is restarted by hand.
  ASSERT_OK(database_->Kill());
  EXPECT_TRUE(EventuallyReady(metrics_port, false));
  ASSERT_OK(database_->Restart());
  EXPECT_TRUE(EventuallyReady(metrics_port, true)) << Ready(metrics_port).body;

  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_itld"));
  ASSERT_OK(AppendAudit(connection, {.cluster_id = 1, .actor = "a", .action = "b", .subject = "c"}));
  ASSERT_OK_AND_ASSIGN(const HttpResponse metrics, HttpGet("127.0.0.1", static_cast<uint16_t>(std::stoi(metrics_port)),
                                                           "/metrics", std::chrono::seconds(10)));
  EXPECT_THAT(metrics.body, AllOf(HasSubstr("trustline_audit_unsealed"), HasSubstr("trustline_audit_last_number")));
  itld.Signal(SIGTERM);
  EXPECT_EQ(itld.ExitStatus(), 0) << itld.output();
  // The last rows are chained and recorded before it ends.
  ASSERT_OK_AND_ASSIGN(Connection superuser, database_->Connect());
  EXPECT_THAT(superuser.Execute("SELECT count(*) FROM audit_unsealed")->Value<int64_t>(), IsOkAndHolds(0));
  EXPECT_GT(std::filesystem::file_size(folder_.path() / "audit-seals"), 64u);
}

}  // namespace
}  // namespace trustline
