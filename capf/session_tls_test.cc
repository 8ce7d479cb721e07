// CAPF sessions on real connections, with threads of their own for what blocks.
#include <future>

#include "capf/session_testing.h"
#include "common/net/listener_test_support.h"
#include "common/net/stream_server.h"
#include "common/net/tls_client.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class CapfSessionTlsTest : public CapfSessionTest {
 protected:
  void SetUp() override {
    Schedule(CapfOperation::kInstall);
    ASSERT_OK_AND_ASSIGN(workers_, IoWorkers::Start(2));
    StreamServerOptions options;
    options.name = "capf";
    options.address = "127.0.0.1";
    options.tls = MakeTestTlsContext();
    ASSERT_OK_AND_ASSIGN(server_, StreamServer::Start(*workers_, options,
                                                      [this](const Peer& peer) { return endpoint_.NewSession(peer); }));
  }
  // In the order that CapfEndpoint asks for.
  void Stop() {
    server_->Stop();
    work_.Stop();
  }
  void TearDown() override { Stop(); }

  TlsClient Connect() {
    auto client = TlsClient::Connect("127.0.0.1", server_->port());
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // Each message comes in one TLS record.
  static void ExpectNext(TlsClient& client, const std::string& message) {
    EXPECT_EQ(ToHex(AsBytes(client.ReadSome().value_or("error"))), ToHex(AsBytes(message)));
  }
  static void Say(TlsClient& client, const std::string& bytes, size_t piece = 16'384) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_OK(client.Write(AsBytes(std::string_view(bytes).substr(at, piece))));
    }
  }
  // Up to where a key is asked for.
  TlsClient BeginInstallation() {
    TlsClient client = Connect();
    ExpectNext(client, authentication_request_);
    Say(client, AuthenticationResponse());
    ExpectNext(client, key_request_);
    return client;
  }

  const std::string authentication_request_ =
      Message(CapfCommand::kAuthenticationRequest, {.version = kCapfVersion, .authentication_type = 0});
  const std::string key_request_ =
      Message(CapfCommand::kKeyGenerateRequest, {.key_size = 2048, .key_type = CapfKeyType::kRsa});
  WorkQueue work_{2, 100};
  CapfEndpoint endpoint_{{.new_session_id = [] { return kTestSession; }}, desk_, work_, pace_, clock_, log_};
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<StreamServer> server_;
};

TEST_F(CapfSessionTlsTest, InstallsACertificateOneMessageARecord) {
  for (const size_t piece : {size_t{16'384}, size_t{1}}) {
    TlsClient client = Connect();
    ExpectNext(client, authentication_request_);
    Say(client, AuthenticationResponse(), piece);
    ExpectNext(client, key_request_);
    Say(client, InProgress() + KeyGenerateResponse(), piece);
    ExpectNext(client, Message(CapfCommand::kStoreCertificateRequest,
                               {.certificate_type = CapfCertificateType::kLsc,
                                .certificate = CapfCertificate{CapfCertificateType::kLsc, desk_.certificate}}));
    Say(client, StoreResponse(), piece);
    ExpectNext(client, EndSession(CapfReason::kSuccess));
    EXPECT_EQ(client.ReadSome().value_or("error"), "") << "close_notify";
  }
  Stop();
  EXPECT_EQ(endpoint_.statistics().installed, 2);
  EXPECT_EQ(desk_.CallsOf("Release"), 0u);
}

TEST_F(CapfSessionTlsTest, WhatCameInOnePieceIsAnsweredOneMessageARecord) {
  TlsClient client = Connect();
  Say(client, AuthenticationResponse() + KeyGenerateResponse() + StoreResponse());
  ExpectNext(client, authentication_request_);
  ExpectNext(client, key_request_);
  EXPECT_THAT(client.ReadSome().value_or("error"), StartsWith("\x55\x09"));
  ExpectNext(client, EndSession(CapfReason::kSuccess));
}

TEST_F(CapfSessionTlsTest, AConnectionThatIsLostReleasesTheOperation) {
  std::promise<void> released;
  desk_.during = [&](std::string_view call) {
    if (call == "Release") released.set_value();
  };
  TlsClient client = BeginInstallation();
  client.Reset();
  released.get_future().wait();
}

TEST_F(CapfSessionTlsTest, StoppingReleasesWhatIsOpen) {
  const TlsClient first = BeginInstallation();
  const TlsClient second = BeginInstallation();
  Stop();
  EXPECT_EQ(desk_.CallsOf("Release"), 2u);
  EXPECT_EQ(endpoint_.statistics().broken, 2);
}

TEST_F(CapfSessionTlsTest, ACallThatRunsEndsBeforeItsOperationIsReleased) {
  std::promise<void> runs;
  std::promise<void> may_end;
  std::atomic<bool> has_ended = false;
  desk_.during = [&](std::string_view call) {
    if (call == "Issue") {
      runs.set_value();
      may_end.get_future().wait();
      has_ended = true;
    } else if (call == "Release") {
      EXPECT_TRUE(has_ended);
    }
  };
  TlsClient client = BeginInstallation();
  Say(client, KeyGenerateResponse());
  runs.get_future().wait();
  server_->Stop();
  may_end.set_value();
  work_.Stop();
  EXPECT_THAT(desk_.calls(), ElementsAre(StartsWith("Admit"), "Issue", "Release"));
}

}  // namespace
}  // namespace trustline
