// The built itld resets phones: as configured, over gRPC, and after it was killed in the middle of a wave.
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "common/rpc/rpc_testing.h"
#include "gmock/gmock.h"
#include "itl/itl_testing.h"
#include "itl/reset/hook_testing.h"
#include "proto/reset.grpc.pb.h"
#include "tests/support/daemon_process.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Stub = v1::Resets::Stub;

class ItldResetsTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(folder_.path() / "passphrase", std::filesystem::perms(0600));
    ASSERT_OK(authority_.Save(folder_.path() / "identity-authority.crt", folder_.path() / "identity-authority.key",
                              folder_.path() / "passphrase"));
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test');"
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || lpad(n::text, 12, '0'), "
        "'8841', 'Berlin', 'test' FROM generate_series(1, 5) AS n");
    given_ = (folder_.path() / "given").string();
    asked_ = (folder_.path() / "asked").string();
    go_ = (folder_.path() / "go").string();
    for (const std::string& fifo : {asked_, go_}) ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  }
  absl::StatusOr<std::unique_ptr<DaemonProcess>> Start(const std::string& hook) {
    const std::string config = folder_.WriteFile(
        "itld.toml", fmt::format("[node]\nname = \"node1\"\n[database]\nconnection = \"{}\"\n"
                                 "[identity]\ncertificate = \"{}\"\nkey = \"{}\"\nauthority = \"{}\"\n"
                                 "[grpc]\nport = 0\n[metrics]\nport = 0\n"
                                 "[identity_authority]\ncertificate = \"identity-authority.crt\"\n"
                                 "key = \"identity-authority.key\"\npassphrase_file = \"passphrase\"\n"
                                 "[audit]\nseal_file = \"audit-seals\"\n[resets.hooks]\ntest = \"{}\"\n",
                                 database_->Conninfo("trustline_itld"), identity_.files().certificate,
                                 identity_.files().key, identity_.files().authority, hook));
    return DaemonProcess::Start({.program = TRUSTLINE_BIN_DIR "/itld", .configuration = config});
  }
  template <typename Request, typename Response>
  absl::Status Ask(const DaemonProcess& itld,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response& response) {
    ASSIGN_OR_RETURN(const auto channel,
                     OpenChannel(fmt::format("127.0.0.1:{}", itld.grpc_port()), admin_.files(), "itld"));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((*v1::Resets::NewStub(channel).*method)(&context, request, &response));
  }
  v1::Reset Show(const DaemonProcess& itld, int64_t number) {
    v1::ShowResetRequest request;
    request.set_number(number);
    v1::ShowResetResponse response;
    EXPECT_OK(Ask(itld, &Stub::ShowReset, request, response));
    return response.reset();
  }
  std::string Given() const {
    std::ifstream file(given_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void AwaitLine(const std::string& fifo) {
    std::ifstream file(fifo);
    std::string line;
    std::getline(file, line);
  }

  const TemporaryDirectory folder_;
  const HookFolder hooks_;
  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity identity_{authority_, "trustline:default/itld/node1"};
  const TestIdentity admin_{authority_, kTestActor};
  std::string given_, asked_, go_;
};

TEST_F(ItldResetsTest, KilledInTheMiddleOfAWaveItHandsItOverAgain) {
  const std::string hook = hooks_.Write(
      "hook",
      fmt::format("#!/bin/sh\n"
                  "ls -l /proc/self/fd > {0}/fds; env > {0}/env\n"
                  "echo > {1}; read -r x < {2}\n"
                  "while read -r device rest; do echo \"$device\" >> {3}; printf '%s\\tok\\tdone\\n' \"$device\"\n"
                  "done\n",
                  folder_.path().string(), asked_, go_, given_));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<DaemonProcess> itld, Start(hook));
  ASSERT_OK(itld->WaitUntilReady());
  v1::StartResetRequest order;
  order.set_cluster("default");
  order.set_wave(3);
  order.set_without_pause(true);
  order.set_reason("a test");
  v1::StartResetResponse started;
  ASSERT_OK(Ask(*itld, &Stub::StartReset, order, started));
  EXPECT_EQ(started.reset().phones(), 5);

  // Killed while the hook has the first wave, of which no phone is reset: the hook waits to be let go, and goes with
  // it.
  AwaitLine(asked_);
  itld->Kill();
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset_phone WHERE state = 'handed over'"), 3);
  std::ofstream(go_) << "\n";

  ASSERT_OK_AND_ASSIGN(itld, Start(hook));
  ASSERT_OK(itld->WaitUntilReady());
  for (int wave = 0; wave < 2; ++wave) {
    AwaitLine(asked_);
    std::ofstream(go_) << "\n";
  }
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (Show(*itld, started.reset().number()).state() != v1::RESET_STATE_DONE && absl::Now() < end) {
    std::this_thread::yield();
  }
  const v1::Reset done = Show(*itld, started.reset().number());
  EXPECT_EQ(done.state(), v1::RESET_STATE_DONE);
  EXPECT_EQ(done.accepted(), 5);
  for (int i = 1; i <= 5; ++i) EXPECT_THAT(Given(), HasSubstr(fmt::format("SEP{:012}\n", i)));
  EXPECT_THAT(itld->LogText(), HasSubstr("RESET_DONE"));

  // Nothing of the daemon was in the hook: no socket, no key, no seal file.
  std::ifstream fds(folder_.path() / "fds");
  const std::string listed{std::istreambuf_iterator<char>(fds), {}};
  EXPECT_THAT(listed, HasSubstr("memfd"));
  for (const char* leak : {"socket:", ".key", "seals", "eventpoll", "eventfd", "anon_inode"}) {
    EXPECT_THAT(listed, Not(HasSubstr(leak)));
  }
  std::ifstream env(folder_.path() / "env");
  const std::string variables{std::istreambuf_iterator<char>(env), {}};
  EXPECT_THAT(variables, HasSubstr("TRUSTLINE_CLUSTER=default\n"));
  EXPECT_THAT(variables, HasSubstr(fmt::format("TRUSTLINE_RESET={}\n", started.reset().number())));
  EXPECT_OK(itld->Stop());
}

TEST_F(ItldResetsTest, StoppedWhileAHookHangsItEndsAtOnce) {
  const std::string hook = hooks_.Write("hook", fmt::format("#!/bin/sh\necho > {}\nexec sleep 1000\n", asked_));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<DaemonProcess> itld, Start(hook));
  ASSERT_OK(itld->WaitUntilReady());
  v1::StartResetRequest order;
  order.set_reason("a test");
  v1::StartResetResponse started;
  ASSERT_OK(Ask(*itld, &Stub::StartReset, order, started));
  AwaitLine(asked_);
  EXPECT_OK(itld->Stop());
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset WHERE state = 'running'"), 1);
}

TEST_F(ItldResetsTest, AHookThatIsNotThereIsFoundWhenItStarts) {
  const auto itld = Start("/nonexistent/hook");
  EXPECT_FALSE(itld.ok());
  EXPECT_THAT(itld.status().ToString(), HasSubstr("/nonexistent/hook does not exist"));
}

}  // namespace
}  // namespace trustline
