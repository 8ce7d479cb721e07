#include "capf/cad_watch.h"

#include <condition_variable>
#include <mutex>

#include "common/rpc/credentials.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

class CadWatchTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(RequireTls13()); }

  void StartCad(uint16_t port = 0) {
    ASSERT_OK_AND_ASSIGN(cad_, RpcServer::Start({.port = port, .identity = cad_identity_.files()}, {&echo_}, health_));
  }
  // Until the log has the event.
  bool WaitForLog(const std::string& event) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30),
                             [&] { return log_text_.find(event) != std::string::npos; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string log_text_;
  Log log_{{.form = LogOptions::Form::kJson, .sink = [this](std::string_view line) {
              const std::lock_guard lock(mutex_);
              log_text_ += line;
              changed_.notify_all();
            }}};
  Metrics metrics_{"capfd"};
  Health health_;
  EchoService echo_;
  IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity cad_identity_{authority_, "trustline:default/cad/node1"};
  TestIdentity capfd_identity_{authority_, "trustline:default/capfd/node1"};
  std::unique_ptr<RpcServer> cad_;
};

TEST_F(CadWatchTest, TellsWhenCadGoesAndComes) {
  ASSERT_NO_FATAL_FAILURE(StartCad());
  const uint16_t port = cad_->port();
  cad_.reset();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CadWatch> watch,
                       CadWatch::Create(fmt::format("127.0.0.1:{}", port), capfd_identity_.files(), log_, metrics_));
  watch->Start();
  ASSERT_TRUE(WaitForLog("CAPF_CAD_AWAY"));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("\ntrustline_capf_cad_connected 0\n"));
  ASSERT_NO_FATAL_FAILURE(StartCad(port));
  ASSERT_TRUE(WaitForLog("CAPF_CAD_BACK"));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("\ntrustline_capf_cad_connected 1\n"));
  {
    const std::lock_guard lock(mutex_);
    log_text_.clear();
  }
  cad_.reset();
  EXPECT_TRUE(WaitForLog("CAPF_CAD_AWAY"));
  watch->Stop();
}

// Whoever listens at its address without being it is of no use.
TEST_F(CadWatchTest, AnotherServiceIsNotCad) {
  cad_identity_.Write(authority_, "trustline:default/itld/node1");
  ASSERT_NO_FATAL_FAILURE(StartCad());
  ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<CadWatch> watch,
      CadWatch::Create(fmt::format("127.0.0.1:{}", cad_->port()), capfd_identity_.files(), log_, metrics_));
  watch->Start();
  EXPECT_TRUE(WaitForLog("CAPF_CAD_AWAY"));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("\ntrustline_capf_cad_connected 0\n"));
  watch->Stop();
}

}  // namespace
}  // namespace trustline
